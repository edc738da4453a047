"""Commands of the repo's owner to the peer that runs on it, over a socket in the repo's folder."""
