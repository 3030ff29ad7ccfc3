"""The command `nmt serve`: serves exports over HTTP, with a web page. The server loads no training code, unless a run is open."""
