"""A detector of washers, nuts and bolts on a dark belt, trained in half a minute."""
