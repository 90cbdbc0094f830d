"""Every rule for `__init__`, with its text."""

from __future__ import annotations

import pytest

from penstock.chains import registry
from penstock_testing.chain_kit import Define, problems_of

DEPENDENCIES = """\
import abc, typing
class P(typing.Protocol):
    async def run_remote(self) -> int: ...
class Ab(chains.ChainletBase):
    @abc.abstractmethod
    async def run_remote(self) -> int: ...
class D(Ab):
    async def run_remote(self) -> int: ...
class E(chains.ChainletBase):
    async def run_remote(self) -> int: ...
class W(chains.ChainletBase):
    async def run_remote(self, w: chains.WebSocketProtocol) -> None: ...
class M(chains.ModelBase):
    async def predict(self) -> int: ...
class T(chains.TrussChainlet):
    truss_dir = "."
class Foo:
    name = "Foo"
"""
LINE = 3 + DEPENDENCIES.count("\n") + 1
EXAMPLE = """
Example of correct `__init__` with dependencies and context:
class Greeter(chains.ChainletBase):
    def __init__(self, rand_int=chains.depends(RandInt), context=chains.depends_context()) -> None:
        self._rand_int = rand_int"""
ANY_ARGUMENT = (
    "Any arguments of a Chainlet's __init__ (besides `context`) must have dependency Chainlets with default values "
    "from `chains.depends`-directive. Got `{}`."
)
CONTEXT = (
    "If `CHAINLET` uses context for initialization, it must have `context` argument of type "
    "`<class 'penstock.chains.context.DeploymentContext'>` as the last argument.\nGot arguments: `[{}]`."
)
ANNOTATION = (
    "The type annotation for `a` must be a class/subclass of the Chainlet type specified by `chains.depends` or a "
    "compatible typing.Protocol. Got `{}`."
)

CASES: dict[str, tuple[str, list[str]]] = {
    "no marker": ("self, x", [ANY_ARGUMENT.format("x") + EXAMPLE]),
    "other defaults": (
        "self, y=3, z: int = 4, d: D = chains.depends(D)",
        [ANY_ARGUMENT.format("y=3"), ANY_ARGUMENT.format("z: int = 4") + EXAMPLE],
    ),
    "class as default": ("self, a=D", [ANY_ARGUMENT.format("a=<class 'my_chain.D'>") + EXAMPLE]),
    "any arguments": ("self, *args, **kw", [ANY_ARGUMENT.format("*args"), ANY_ARGUMENT.format("**kw") + EXAMPLE]),
    "no self": ("", ["Methods must have first argument `self`, got no arguments."]),
    "other name than self": ("me", ["Methods must have first argument `self`, got `me`."]),
    "context before others": (
        "self, context=chains.depends_context(), d: D = chains.depends(D)",
        [
            "The init argument name `context` is reserved for the optional context argument, which must be trailing if "
            "used.",
            ANY_ARGUMENT.format("context=depends_context()") + EXAMPLE,
        ],
    ),
    "context under another name": (
        "self, ctx=chains.depends_context()",
        [CONTEXT.format("ctx=depends_context()"), ANY_ARGUMENT.format("ctx=depends_context()") + EXAMPLE],
    ),
    "two contexts": (
        "self, a=chains.depends_context(), context=chains.depends_context()",
        [ANY_ARGUMENT.format("a=depends_context()") + EXAMPLE],
    ),
    "context without default": (
        "self, context",
        [
            CONTEXT.format("context"),
            "Incorrect default value `<class 'inspect._empty'>` for `context` argument." + EXAMPLE,
        ],
    ),
    "context that is a chainlet": (
        "self, context=chains.depends(D)",
        [
            CONTEXT.format("context=depends(D)"),
            "Incorrect default value `depends(D)` for `context` argument." + EXAMPLE,
        ],
    ),
    "context of another type": (
        "self, context: int = chains.depends_context()",
        [CONTEXT.format("context: int = depends_context()") + EXAMPLE],
    ),
    "the same chainlet twice": (
        "self, a=chains.depends(D), b: D = chains.depends(D)",
        [
            "The same Chainlet class cannot be used multiple times for different arguments. Got previously used `D` "
            "for `b`."
        ],
    ),
    "annotation with another chainlet": (
        "self, a: E = chains.depends(D)",
        [ANNOTATION.format("<class 'my_chain.E'>")],
    ),
    "annotation with a subclass": (
        "self, a: D = chains.depends(Ab)",
        [ANNOTATION.format("<class 'my_chain.D'>")],
    ),
    "annotation with any type": ("self, a: typing.Any = chains.depends(D)", [ANNOTATION.format("typing.Any")]),
    "annotation as text": (
        'self, a: "D" = chains.depends(D)',
        [
            "A string-valued type annotation was found for `a` of type `D`. Use only actual types objects and avoid "
            "`from __future__ import annotations` (if needed upgrade python)."
        ],
    ),
    "no chainlet": (
        "self, a=chains.depends(Foo)",
        ["`chains.depends` must be used with a Chainlet class as argument, got <class 'my_chain.Foo'> instead."],
    ),
    "no class": (
        "self, a=chains.depends('D')",
        ["`chains.depends` must be used with a Chainlet class as argument, got D instead."],
    ),
    "the base class": (
        "self, a=chains.depends(chains.ChainletBase)",
        [
            "`chains.depends` must be used with a Chainlet class as argument, got "
            "<class 'penstock.chains.chainlet.ChainletBase'> instead."
        ],
    ),
    "a model": (
        "self, a=chains.depends(M)",
        ["`chains.depends` must be used with a Chainlet class as argument, got <class 'my_chain.M'> instead."],
    ),
    "inner websocket": (
        "self, w=chains.depends(W)",
        [
            "The dependency chainlet `W` for `w` uses a websocket. But websockets can only be used in the entrypoint, "
            "not in 'inner' chainlets."
        ],
    ),
}


@pytest.mark.parametrize(("arguments", "expected"), CASES.values(), ids=CASES.keys())
def test_a_broken_rule_is_named_with_its_place(define: Define, arguments: str, expected: list[str]) -> None:
    problems = problems_of(
        define,
        f"{DEPENDENCIES}class A(chains.ChainletBase):\n    def __init__({arguments}): ...\n"
        "    async def run_remote(self) -> int: ...",
    )

    assert problems == [f"{LINE} (A.__init__) [kind: TYPE_ERROR]: {text}" for text in expected]


@pytest.mark.parametrize(
    "annotation", ["D", "Ab", "P", "object", "chains.ChainletBase", "typing.Optional[D]", "D | None"]
)
def test_an_annotation_may_be_anything_that_the_chainlet_is(define: Define, annotation: str) -> None:
    source = (
        f"{DEPENDENCIES}class A(chains.ChainletBase):\n    def __init__(self, a: {annotation} = chains.depends(D)): ..."
    )

    assert problems_of(define, f"{source}\n    async def run_remote(self) -> int: ...") == []


@pytest.mark.parametrize("annotation", ["D", "chains.DeployedServiceDescriptor"])
def test_what_is_no_handle_is_refused_for_a_truss_directory(define: Define, annotation: str) -> None:
    source = (
        f"{DEPENDENCIES}class A(chains.ChainletBase):\n    def __init__(self, a: {annotation} = chains.depends(T)): ..."
    )

    problems = problems_of(define, f"{source}\n    async def run_remote(self) -> int: ...")

    assert len(problems) == 1
    assert "The type annotation for `a` must be a class/subclass of the Chainlet type" in problems[0]


@pytest.mark.parametrize("annotation", ["chains.TrussChainlet", "T", "int", "'TrussHandle'", "typing.Any"])
def test_the_annotation_of_a_truss_directory_is_the_users(define: Define, annotation: str) -> None:
    source = (
        f"{DEPENDENCIES}class A(chains.ChainletBase):\n    def __init__(self, a: {annotation} = chains.depends(T)): ..."
    )

    assert problems_of(define, f"{source}\n    async def run_remote(self) -> int: ...") == []


@pytest.mark.parametrize("arguments", ["self, x", "self, context, x", "self, d=chains.depends(D)"])
def test_a_model_takes_the_context_only(define: Define, arguments: str) -> None:
    problems = problems_of(
        define,
        f"{DEPENDENCIES}class A(chains.ModelBase):\n    def __init__({arguments}): ...\n"
        "    async def predict(self) -> int: ...",
    )

    assert problems[-1].removesuffix(EXAMPLE) == (
        f"{LINE} (A.__init__) [kind: TYPE_ERROR]: The only supported argument to `__init__` for MODELs is the optional "
        "context argument."
    )


def test_dependencies_are_described_in_their_order_with_their_options(define: Define) -> None:
    module = define(
        f"""{DEPENDENCIES}
class A(chains.ChainletBase):
    def __init__(
        self,
        e: E = chains.depends(E, retries=3, timeout_sec=2, use_binary=True, concurrency_limit=7),
        *,
        d=chains.depends(D),
        context=chains.depends_context(),
    ): ...
    async def run_remote(self) -> int: ...
class B(A):
    async def run_remote(self) -> int: ...
class C(A):
    def __init__(self, d=chains.depends(D)): super().__init__(d=d)
"""
    )
    registry.raise_errors()

    description = registry.describe(module.A)
    assert description.has_context
    assert [(name, each.chainlet) for name, each in description.dependencies.items()] == [
        ("e", module.E),
        ("d", module.D),
    ]
    options = description.dependencies["e"].options
    assert (options.retries, options.timeout_sec, options.use_binary, options.concurrency_limit) == (3, 2.0, True, 7)
    assert registry.describe(module.B).dependencies == description.dependencies
    assert list(registry.describe(module.C).dependencies) == ["d"] and not registry.describe(module.C).has_context


def test_a_protocol_among_the_bases_brings_no_arguments(define: Define) -> None:
    source = f"{DEPENDENCIES}class A(P, chains.ChainletBase):\n    async def run_remote(self) -> int: ..."

    assert problems_of(define, source) == []
