"""The command `nmt serve`: serves exports over HTTP, with a web page. Loads training code only for an open run."""
