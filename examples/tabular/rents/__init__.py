"""Monthly rents of made-up flats, predicted from numbers and categories."""
