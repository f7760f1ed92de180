"""What a line of text is made of. All texts are plain; the renderers escape them."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Link:
    """Text that leads to an anchor of the page.

    Attributes:
        text: Text.
        anchor: Identity of what it leads to.
        is_number: Whether the text is a result, which leads to its trials.
    """

    text: str
    anchor: str
    is_number: bool = False


@dataclasses.dataclass(frozen=True)
class Url:
    """Text that leads to an address elsewhere.

    Attributes:
        text: Text.
        address: Text, https.
    """

    text: str
    address: str


@dataclasses.dataclass(frozen=True)
class Code:
    """Text as it is typed, for example a flag or a command.

    Attributes:
        text: Text.
    """

    text: str


@dataclasses.dataclass(frozen=True)
class Chip:
    """A verdict, set off by its frame.

    Attributes:
        text: The verdict.
        kind: Short name that the style knows.
    """

    text: str
    kind: str
