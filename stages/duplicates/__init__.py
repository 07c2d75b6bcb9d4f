"""Rows in, which of them are the same thing out: exactly (`rows`), or nearly (`near`)."""
