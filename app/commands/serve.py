"""`nmt serve`: exports behind HTTP, with a page."""

import argparse
import errno
import logging
import socket
import sys
from pathlib import Path
from typing import Any

from app.errors import UserError


def add_parser(verbs: Any) -> None:
    """Describes the command."""
    parser = verbs.add_parser(
        "serve",
        help="translate over HTTP, and on a page",
        description="Serves an export, or each of a folder of exports, over HTTP: a page, a REST interface of its own, "
        "those of TensorFlow Serving and LibreTranslate, and metrics. New versions are loaded as they come.",
        epilog="example: nmt serve demo/export",
    )
    add = parser.add_argument
    add(
        "exports",
        type=Path,
        nargs="?",
        metavar="EXPORT",
        help="what `nmt export` wrote, one version of it, or a folder of such",
    )
    add("--host", default="127.0.0.1", metavar="H", help="the address to listen at (default: this machine alone)")
    add("--port", type=int, default=8501, metavar="P", help="(default: 8501; 0: any that is free)")
    add("--workers", type=int, metavar="N", help="batches computed at once (default: one a processor)")
    add(
        "--batch-tokens", type=int, default=4096, metavar="N", help="texts of a batch times the longest (default: 4096)"
    )
    add(
        "--most-waiting",
        type=int,
        default=2048,
        metavar="N",
        help="texts in the queue; more are refused (default: 2048)",
    )
    add("--characters", type=int, default=50_000, metavar="N", help="of a request's texts (default: 50000)")
    add("--texts", type=int, default=256, metavar="N", help="of a request (default: 256)")
    add("--body-bytes", type=int, default=2**21, metavar="N", help="of a request (default: 2097152)")
    add("--requests-per-minute", type=int, default=0, metavar="N", help="by key or address (default: as many as come)")
    add("--deadline", type=float, default=60.0, metavar="S", help="seconds for an answer (default: 60)")
    add("--api-keys", type=Path, metavar="F", help="answer only who has a key whose hash is in this file")
    add("--new-api-key", metavar="NAME", help="add a key to the --api-keys file, print it, and serve nothing")
    add(
        "--allowed-host",
        nargs="+",
        default=[],
        metavar="NAME",
        help="names it answers to, as behind a proxy (default: at --host 127.0.0.1 localhost, else any)",
    )
    add(
        "--proxy",
        nargs="+",
        default=[],
        metavar="ADDRESS",
        help="addresses or networks of proxies, whose word on client, host and scheme counts (default: nobody's)",
    )
    add("--root-path", default="", metavar="PATH", help="the path below which a proxy shows it, such as /translate")
    add("--cors", nargs="+", default=[], metavar="ORIGIN", help="sites whose pages may use the server; * for all")
    add("--connections", type=int, default=1000, metavar="N", help="at once; more are refused (default: 1000)")
    add("--no-access-log", action="store_true", help="no line a request on stderr")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Serves until it is told to stop; then answers what has been asked, and ends."""
    check_usage(arguments)
    from app.server.engine.limits import ApiKeys, Limits, RateLimiter, add_api_key
    from app.server.http.proxies import Proxies, networks, root_path_of

    if arguments.new_api_key is not None:
        print(add_api_key(arguments.api_keys, arguments.new_api_key))
        return
    keys = ApiKeys.read(arguments.api_keys) if arguments.api_keys else None
    proxies = Proxies(networks(arguments.proxy), root_path_of(arguments.root_path))
    check_address(arguments.host, arguments.port)
    from app.runtime.processors import batches_at_once
    from app.runtime.tensorflow_start import held_stderr, import_tensorflow

    workers = arguments.workers or batches_at_once()
    import_tensorflow(batches_at_once=workers)
    with held_stderr():
        import uvicorn

        from app.server.http.application import application
        from app.server.http.protocol import with_deadline
    from app.server.engine.batching import Batcher
    from app.server.engine.metrics import Metrics
    from app.server.engine.models import Models
    from app.server.engine.service import Service
    from app.server.http.origins import allowed_hosts

    metrics = Metrics()
    limits = Limits(
        body_bytes=arguments.body_bytes,
        characters=arguments.characters,
        texts=arguments.texts,
        requests_per_minute=arguments.requests_per_minute,
        deadline=arguments.deadline,
        arrival=arguments.deadline,
    )
    batcher = Batcher(
        metrics, workers=workers, batch_tokens=arguments.batch_tokens, most_waiting=arguments.most_waiting
    )
    models = Models(arguments.exports, metrics)
    service = Service(models, batcher, metrics, limits, RateLimiter(limits.requests_per_minute), keys)
    log_requests(arguments.no_access_log)
    server = uvicorn.Server(
        uvicorn.Config(
            application(service, allowed_hosts(arguments.host, arguments.allowed_host), arguments.cors, proxies),
            http=with_deadline(arguments.deadline),
            limit_concurrency=arguments.connections,
            host=arguments.host,
            port=arguments.port,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,  # those of named proxies alone are read, by the gate
            timeout_graceful_shutdown=int(arguments.deadline) + 1,
        )
    )
    announce(server)
    server.run()


def check_usage(arguments: argparse.Namespace) -> None:
    """Refuses what cannot be, or not together."""
    if arguments.new_api_key is not None:
        if not arguments.api_keys:
            raise UserError("--new-api-key needs the file that it goes into: --api-keys FILE")
        return
    if arguments.exports is None:
        raise UserError("give an EXPORT to serve, such as demo/export")
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


def check_address(host: str, port: int) -> None:
    """Refuses, before anything is loaded, an address at which the server could not listen in the end."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server has it
                if family == socket.AF_INET6:
                    trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                trial.bind(address)
    except OSError as error:
        if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT) or len(found) == 1:
            why = (error.strerror or str(error)).lower()
            raise UserError(f"cannot listen at {host}, port {port}: {why}; choose another --host or --port") from error


def log_requests(silent: bool) -> None:
    """Sends the access log to stderr, a line of JSON each, or nowhere."""
    log = logging.getLogger("nmt.access")
    log.propagate = False
    log.setLevel(logging.CRITICAL if silent else logging.INFO)
    log.addHandler(logging.StreamHandler(sys.stderr))


def announce(server: Any) -> None:
    """Says where the page is once the server listens."""
    from app.runtime.console import say

    start = server.startup

    async def startup(sockets: Any = None) -> None:
        await start(sockets)
        if server.started:
            host, port = server.servers[0].sockets[0].getsockname()[:2]
            say(f"http://{f'[{host}]' if ':' in host else host}:{port} (stop: Ctrl-C)")

    server.startup = startup
