"""How soon Stop frees the upstream's socket, in every phase an answer can be in. See __main__.py."""
