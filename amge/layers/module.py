"""`nn.Module`, whose call type checkers know by its `forward`; torch tells them that it takes and gives anything."""

from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

from torch import nn

if TYPE_CHECKING:
    Taken = ParamSpec("Taken")
    Given = TypeVar("Given", covariant=True)

    class HasForward(Protocol[Taken, Given]):
        def forward(self, *args: Taken.args, **kwargs: Taken.kwargs) -> Given: ...

    class Module(nn.Module):
        def __call__(self: HasForward[Taken, Given], *args: Taken.args, **kwargs: Taken.kwargs) -> Given: ...

else:
    Module = nn.Module
