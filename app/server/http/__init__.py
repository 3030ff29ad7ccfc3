"""HTTP: routes of the APIs, reading of bodies, and the checks before a request is admitted."""
