"""One module a built-in data set, each with a `READER` (the protocol is `registry.Reader`)."""
