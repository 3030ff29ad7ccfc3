"""`nmt serve`: serves exported models over HTTP, with a web page."""

import argparse
import errno
import logging
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from keras_nmt.app.arguments import Verbs
from keras_nmt.app.errors import UserError

if TYPE_CHECKING:
    import uvicorn

    from keras_nmt.app.inside.inspected_run import InspectedRun
    from keras_nmt.app.server.engine.limits import ApiKeys
    from keras_nmt.app.server.engine.service import Service
    from keras_nmt.app.server.http.proxies import Proxies


def add_parser(verbs: Verbs) -> None:
    """Adds the parser of `nmt serve` to `verbs`, the subparsers of `nmt`."""
    parser = verbs.add_parser(
        "serve",
        help="translate over HTTP and on a web page",
        description="Serves an export, or every export in a folder, over HTTP: a web page, a REST interface, the "
        "interfaces of TensorFlow Serving and LibreTranslate, and metrics. New versions are loaded as they appear.",
        epilog="example: nmt serve demo/export",
    )
    parser.add_argument(
        "exports",
        type=Path,
        nargs="?",
        metavar="EXPORT",
        help="what `nmt export` wrote, one version of it, or a folder of exports; with --inside, a run",
    )
    parser.add_argument(
        "--inside",
        type=Path,
        nargs="?",
        const=True,
        metavar="RUN",
        help="show the training of a run too, on this machine only: `nmt serve RUN --inside` exports the run into a "
        "temporary folder; `nmt serve EXPORT --inside RUN` serves an export of the run",
    )
    add_batching_options(parser)
    add_limit_options(parser)
    add_access_options(parser)
    parser.set_defaults(run=run)


def add_batching_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options for the address, the number of workers, the batch size and the queue."""
    add = parser.add_argument
    add("--host", default="127.0.0.1", metavar="H", help="address to listen on (default: this machine only)")
    add("--port", type=int, default=8501, metavar="P", help="port to listen on (default: 8501; 0: any free port)")
    add("--workers", type=int, metavar="N", help="number of batches computed at once (default: one a processor)")
    add(
        "--batch-tokens",
        type=int,
        default=4096,
        metavar="N",
        help="largest batch, as number of texts times the longest (default: 4096)",
    )
    add(
        "--most-waiting",
        type=int,
        default=2048,
        metavar="N",
        help="texts in the queue beyond which requests are refused (default: 2048)",
    )


def add_limit_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that limit the size, number and time of requests."""
    add = parser.add_argument
    add("--characters", type=int, default=50_000, metavar="N", help="most characters of a request (default: 50000)")
    add("--texts", type=int, default=256, metavar="N", help="most texts of a request (default: 256)")
    add("--body-bytes", type=int, default=2**21, metavar="N", help="most bytes of a request (default: 2097152)")
    add(
        "--requests-per-minute",
        type=int,
        default=0,
        metavar="N",
        help="most requests a minute from one API key or address (default: no limit)",
    )
    add("--deadline", type=float, default=60.0, metavar="S", help="seconds until a request times out (default: 60)")


def add_access_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that decide which clients may use the server, and which proxies are trusted."""
    add = parser.add_argument
    add("--api-keys", type=Path, metavar="F", help="answer only requests with a key whose hash is in this file")
    add("--new-api-key", metavar="NAME", help="add a key to the --api-keys file, print it and exit")
    add(
        "--allowed-host",
        nargs="+",
        default=[],
        metavar="NAME",
        help="host names to answer to, for example behind a proxy (default: localhost with --host 127.0.0.1, else any)",
    )
    add(
        "--proxy",
        nargs="+",
        default=[],
        metavar="ADDRESS",
        help="addresses or networks of proxies whose headers on client, host and scheme are trusted (default: none)",
    )
    add("--root-path", default="", metavar="PATH", help="path below which a proxy publishes the server: /translate")
    add("--cors", nargs="+", default=[], metavar="ORIGIN", help="sites whose pages may use the server; * for all")
    add("--connections", type=int, default=1000, metavar="N", help="most connections at once (default: 1000)")
    add("--no-access-log", action="store_true", help="do not log requests on stderr")


def run(arguments: argparse.Namespace) -> None:
    """Serves until a signal arrives, then answers the open requests. With --new-api-key, only adds a key."""
    check_usage(arguments)
    from keras_nmt.app.server.engine.limits import ApiKeys, add_api_key
    from keras_nmt.app.server.http.proxies import Proxies, networks, root_path_of

    if arguments.new_api_key is not None:
        print(add_api_key(arguments.api_keys, arguments.new_api_key))
        return
    keys = ApiKeys.read(arguments.api_keys) if arguments.api_keys else None
    proxies = Proxies(networks(arguments.proxy), root_path_of(arguments.root_path))
    check_address(arguments.host, arguments.port)
    with ExitStack() as until_end:
        server = server_of(arguments, keys, proxies, until_end)
        announce_address(server)
        server.run()


def server_of(
    arguments: argparse.Namespace, keys: "ApiKeys | None", proxies: "Proxies", until_end: ExitStack
) -> "uvicorn.Server":
    """Imports TensorFlow, loads the models, and returns the HTTP server. `until_end` closes what it uses."""
    from keras_nmt.app.runtime.processors import batches_at_once
    from keras_nmt.app.runtime.tensorflow_start import held_stderr, import_tensorflow

    workers = arguments.workers or batches_at_once()
    import_tensorflow(batches_at_once=workers)
    with held_stderr():
        import uvicorn

        from keras_nmt.app.server.http.application import application
        from keras_nmt.app.server.http.protocol import with_deadline
    from keras_nmt.app.server.http.origins import allowed_hosts

    exports, inspected_run = models_to_serve(arguments, until_end)
    service = made_service(arguments, exports, workers, keys)
    service.inspected_run = inspected_run
    log_requests(arguments.no_access_log)
    return uvicorn.Server(
        uvicorn.Config(
            application(service, allowed_hosts(arguments.host, arguments.allowed_host), arguments.cors, proxies),
            http=with_deadline(arguments.deadline),
            limit_concurrency=arguments.connections,
            host=arguments.host,
            port=arguments.port,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,  # the server's gate reads proxy headers, only from the proxies of --proxy
            timeout_graceful_shutdown=int(arguments.deadline) + 1,
        )
    )


def models_to_serve(arguments: argparse.Namespace, until_end: ExitStack) -> tuple[Path, "InspectedRun | None"]:
    """Returns the exports to serve, and with --inside the open run. `until_end` closes it."""
    run = arguments.inside
    if run is None:
        return arguments.exports, None
    from keras_nmt.app.inside.opening import opened
    from keras_nmt.app.runtime.signals import exiting_at_signals

    until_end.enter_context(exiting_at_signals())
    # `nmt serve RUN --inside` and `nmt serve --inside RUN` are the same.
    path, export = (arguments.exports, None) if run is True else (run, arguments.exports)
    export, inspected = until_end.enter_context(opened(path, export))
    inspected.warm_up()
    return export, inspected


def made_service(arguments: argparse.Namespace, exports: Path, workers: int, keys: "ApiKeys | None") -> "Service":
    """Returns the service that translates requests, with the limits of the command line."""
    from keras_nmt.app.server.engine.batching import Batcher
    from keras_nmt.app.server.engine.limits import Limits, RateLimiter
    from keras_nmt.app.server.engine.metrics import Metrics
    from keras_nmt.app.server.engine.models import Models
    from keras_nmt.app.server.engine.service import Service

    metrics = Metrics()
    limits = Limits(
        body_bytes=arguments.body_bytes,
        characters=arguments.characters,
        texts=arguments.texts,
        requests_per_minute=arguments.requests_per_minute,
        deadline=arguments.deadline,
        arrival=arguments.deadline,
    )
    batcher = Batcher(metrics, workers=workers, batch_tokens=arguments.batch_tokens, max_queued=arguments.most_waiting)
    models = Models(exports, metrics)
    return Service(models, batcher, metrics, limits, RateLimiter(limits.requests_per_minute), keys)


def check_usage(arguments: argparse.Namespace) -> None:
    """Raises `UserError` if a value is out of range or a required option is missing."""
    if arguments.new_api_key is not None:
        if not arguments.api_keys:
            raise UserError("--new-api-key needs a file to write to: add --api-keys FILE")
        return
    if arguments.exports is None and arguments.inside in (None, True):
        raise UserError("give an EXPORT to serve, such as demo/export")
    if arguments.inside:
        check_local(arguments.host)
    for name, least in {
        "workers": 1,
        "batch_tokens": 1,
        "most_waiting": 1,
        "characters": 1,
        "texts": 1,
        "body_bytes": 1,
        "requests_per_minute": 0,
        "port": 0,
        "connections": 1,
    }.items():
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise UserError(f"--{name.replace('_', '-')} is {value}; it must be at least {least}")
    if arguments.port > 65535:
        raise UserError(f"--port is {arguments.port}; it must be at most 65535")
    if not arguments.deadline > 0:
        raise UserError(f"--deadline is {arguments.deadline}; it must be more than 0")


def check_local(host: str) -> None:
    """Raises `UserError` unless only this machine reaches the host. Training steps are expensive, and runs private."""
    from keras_nmt.app.server.http.origins import LOOPBACK

    if host not in LOOPBACK:
        raise UserError(f"--inside is for this machine only, and --host is {host}; leave one of them out")


def check_address(host: str, port: int) -> None:
    """Raises `UserError` if the server could not listen on this address. Called before models are loaded."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
                if family == socket.AF_INET6:
                    trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                trial.bind(address)
    except OSError as error:
        if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT) or len(found) == 1:
            why = (error.strerror or str(error)).lower()
            raise UserError(f"cannot listen at {host}, port {port}: {why}; choose another --host or --port") from error


def log_requests(silent: bool) -> None:
    """Writes the access log to stderr, one line of JSON for each request; writes nothing if `silent`."""
    log = logging.getLogger("nmt.access")
    log.propagate = False
    log.setLevel(logging.CRITICAL if silent else logging.INFO)
    log.addHandler(logging.StreamHandler(sys.stderr))


def announce_address(server: "uvicorn.Server") -> None:
    """Makes the server print the address of its web page as soon as it listens."""
    from keras_nmt.app.runtime.console import say

    start = server.startup

    async def startup(sockets: list[socket.socket] | None = None) -> None:
        await start(sockets)
        if server.started:
            host, port = server.servers[0].sockets[0].getsockname()[:2]
            say(f"http://{f'[{host}]' if ':' in host else host}:{port} (stop: Ctrl-C)")

    server.startup = startup  # type: ignore[method-assign]
