"""A recogniser of spelled words in noise: a small CTC network, trained in seconds."""
