"""One object or a stream, as the input asks; the annotations say so."""

from typing import AsyncGenerator, Union

from pydantic import BaseModel


class Question(BaseModel):
    words: list[str]
    stream: bool = False


class Answer(BaseModel):
    text: str


class Model:
    async def predict(self, question: Question) -> Union[Answer, AsyncGenerator[str, None]]:
        if question.stream:
            return self._stream(question)
        return Answer(text=" ".join(question.words))

    async def _stream(self, question):
        for word in question.words:
            yield word
