"""The schema of a chainlet, as a Truss server tells it."""

from __future__ import annotations

from penstock_testing.chainlet_serving import Serve


def test_optional_arguments_have_a_default(serve: Serve) -> None:
    model = serve(
        """
        class Adder(chains.ChainletBase):
            async def run_remote(self, a: int, b: int = 5) -> int:
                return a + b
        """,
        "Adder",
    )

    schema = model.penstock_schema()
    assert schema["input_schema"]["required"] == ["a"]
    assert schema["input_schema"]["properties"]["b"]["default"] is None
    assert schema["output_schema"] == {"title": "AdderOutput", "type": "integer"}


def test_a_conversation_has_none(serve: Serve) -> None:
    model = serve(
        """
        class Talker(chains.ChainletBase):
            async def run_remote(self, words: AsyncIterator[str]) -> AsyncIterator[str]:
                async for word in words:
                    yield word
        """,
        "Talker",
    )

    assert model.penstock_schema() is None
