"""Command line of `penstock chains`."""

from __future__ import annotations

import argparse
from pathlib import Path

from penstock.cli.connection import add_connection
from penstock.cli.push.arguments import TIMEOUT_S, seconds

_Subparsers = argparse._SubParsersAction

_EPILOG = """\
examples:
  penstock chains init hello               write a chain to begin with
  penstock chains run hello/my_chain.py    run it in one process, without a platform
  penstock up --watch hello/my_chain.py    serve it on this machine (see penstock up --help)
  penstock chains push hello/my_chain.py --promote --wait
  penstock chains watch hello/my_chain.py

`penstock chains COMMAND --help` shows more.
"""

_PUSH_EPILOG = """\
examples:
  penstock chains push my_chain.py                       the class that is marked with @chains.mark_entrypoint
  penstock chains push my_chain.py HelloWorld            another class
  penstock chains push my_chain.py --promote --wait      into production, when every chainlet is ready; returns then
  penstock chains push my_chain.py --environment staging --name hello-two
  penstock chains push my_chain.py --dryrun              only write what would be sent

The file is imported here, in a process of its own. Each chainlet becomes a deployment; the files beside the chain's
file go with each, but for what .truss_ignore names. An environment changes as a whole, once every chainlet is ready.
Without --promote and --environment only the chain's own address leads to it; the first of a name goes into production.

exit status:
  0    pushed; with --wait: every chainlet serves
  1    it could not be pushed, or (with --wait) a chainlet will not serve: the reason is printed
  2    wrong use: the command line, or a chain that breaks a rule
  124  --timeout is over; the deployment goes on
"""

_RUN_EPILOG = """\
examples:
  penstock chains run my_chain.py
  penstock chains run my_chain.py 10 --verbose    what stands behind FILE is passed to it

Runs the file as `python FILE` does, with `import truss_chains` there even where Truss is not installed. Chainlets are
made inside of `with chains.run_local():`, mostly below `if __name__ == "__main__":`.

exit status: that of the file
"""

_WATCH_EPILOG = """\
examples:
  penstock chains watch my_chain.py
  penstock chains watch my_chain.py HelloWorld --environment staging

Needs a controller on this machine that runs as the same user. What is saved is live in about a second: chainlets stay
loaded, open streams stay on the code that they began with. Another set of chainlets, other requirements or another
remote_config become a new version, which takes over when all of it is ready. What breaks a rule is told, and the old
code goes on serving. Ctrl-C ends the watch; the chain goes on serving what was live last.

exit status:
  0    ended by Ctrl-C
  1    the controller refused the chain, or cannot be reached
  2    wrong use
"""


def add_parser(subparsers: _Subparsers[argparse.ArgumentParser]) -> None:
    """Adds the subcommand `chains`."""
    parser = subparsers.add_parser(
        "chains",
        help="make, run and deploy chains",
        description="Makes, runs and deploys chains: several chainlets that call one another.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=lambda _: _show_help(parser))
    inner = parser.add_subparsers(title="commands", metavar="COMMAND", dest="chains_command")
    _add_init(inner)
    _add_push(inner)
    _add_run(inner)
    _add_watch(inner)


def add_chain(parser: argparse.ArgumentParser) -> None:
    """Adds FILE, ENTRYPOINT and --name."""
    parser.add_argument("file", type=Path, metavar="FILE", help="Python file of the chain")
    parser.add_argument(
        "entrypoint", nargs="?", metavar="ENTRYPOINT", help="class of the entrypoint (default: the one that is marked)"
    )
    parser.add_argument(
        "--name",
        metavar="NAME",
        default=None,
        help='name of the chain; "My Chain" becomes my-chain (default: as marked, else that of the entrypoint)',
    )


def _show_help(parser: argparse.ArgumentParser) -> int:
    parser.print_help()
    return 0


def _add_init(inner: _Subparsers[argparse.ArgumentParser]) -> None:
    parser = inner.add_parser(
        "init",
        help="write the files of a new chain",
        description="Writes a chain of two chainlets to begin with. No file is overwritten.",
    )
    parser.add_argument("directory", metavar="DIR", nargs="?", default=".", help="folder (default: this folder)")
    parser.add_argument("--name", metavar="NAME", help="name of the chain (default: that of the folder)")
    parser.set_defaults(run=_init)


def _add_push(inner: _Subparsers[argparse.ArgumentParser]) -> None:
    parser = inner.add_parser(
        "push",
        help="bring a chain to a running controller",
        description="Makes a deployment of each chainlet of a chain, and sends them to the controller.",
        epilog=_PUSH_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_chain(parser)
    parser.add_argument(
        "--promote",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="production points to it as soon as every chainlet is ready",
    )
    parser.add_argument(
        "--environment",
        metavar="ENVIRONMENT",
        default="",
        help="this environment points to it as soon as every chainlet is ready; wins over --promote",
    )
    parser.add_argument(
        "--wait", action=argparse.BooleanOptionalAction, default=False, help="return when it serves, or will not"
    )
    parser.add_argument(
        "--timeout", type=seconds, default=TIMEOUT_S, metavar="SECONDS", help="for --wait (default: %(default)g)"
    )
    parser.add_argument("--dryrun", action="store_true", help="only write the Trusses of the chainlets, and tell where")
    parser.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", help="what stdout gets (default: %(default)s)"
    )
    add_connection(parser)
    parser.set_defaults(run=_push)


def _add_run(inner: _Subparsers[argparse.ArgumentParser]) -> None:
    parser = inner.add_parser(
        "run",
        help="run a chain's file in this process",
        description="Runs a chain's file, and so its `with run_local():`.",
        epilog=_RUN_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="penstock chains run FILE [ARGS...]",
    )
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="FILE [ARGS...]", help="file, and what it gets")
    parser.set_defaults(run=_run)


def _add_watch(inner: _Subparsers[argparse.ArgumentParser]) -> None:
    parser = inner.add_parser(
        "watch",
        help="bring what is saved into a running controller",
        description="Deploys a chain, and takes over what is saved from then on.",
        epilog=_WATCH_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_chain(parser)
    parser.add_argument("--environment", metavar="ENVIRONMENT", default="development", help="default: %(default)s")
    add_connection(parser)
    parser.set_defaults(run=_watch)


# What they import is heavy, and `penstock --help` needs none of it.


def _init(arguments: argparse.Namespace) -> int:
    from penstock.cli.chains.init import init

    print(init(Path(arguments.directory), arguments.name))
    return 0


def _push(arguments: argparse.Namespace) -> int:
    from penstock.cli.chains.push import push

    return push(arguments)


def _run(arguments: argparse.Namespace) -> int:
    from penstock.cli.chains.run import run

    return run(arguments.words)


def _watch(arguments: argparse.Namespace) -> int:
    from penstock.cli.chains.watch import watch

    return watch(arguments)
