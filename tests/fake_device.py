"""A device that is not here: tensors that say they are elsewhere, compute on the processor, and mix with no others."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map

#: The name under which PyTorch knows a device that needs no hardware.
ELSEWHERE = "meta"
# What a graphics card allows: indices and values to be copied may be on the processor.
MAY_MIX = {"aten.index.Tensor", "aten.copy_.default"}


class There(torch.Tensor):
    """A tensor elsewhere, around one on the processor that holds its numbers."""

    @staticmethod
    def __new__(cls, here: torch.Tensor) -> There:
        return torch.Tensor._make_wrapper_subclass(
            cls, here.shape, strides=here.stride(), storage_offset=here.storage_offset(), dtype=here.dtype,
            device=ELSEWHERE, requires_grad=here.requires_grad)

    def __init__(self, here: torch.Tensor) -> None:
        self.here = here

    def __repr__(self) -> str:
        return f"There({self.here})"

    def tolist(self) -> Any:
        return self.here.tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return called(func, args, kwargs or {})


class Tensors(TorchFunctionMode):
    """Has `torch.tensor`, which makes its tensor without being dispatched, move it elsewhere instead."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.tensor and torch.device(kwargs.get("device") or "cpu").type == ELSEWHERE:
            return func(*args, **{**kwargs, "device": "cpu"}).to(ELSEWHERE)
        return func(*args, **kwargs)


class Elsewhere(TorchDispatchMode):
    """While this is on, tensors can be made and moved elsewhere. `calls`: how many operations ran there."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self._tensors = Tensors()

    def __enter__(self) -> Elsewhere:
        self._tensors.__enter__()
        return super().__enter__()

    def __exit__(self, *problem: Any) -> None:
        super().__exit__(*problem)
        self._tensors.__exit__(*problem)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.calls += any(isinstance(value, There) for value in tree_flatten((args, kwargs))[0])
        return called(func, args, kwargs)


def called(func: Any, args: Any, kwargs: dict) -> Any:
    """One operation, its result where its device says or its arguments are."""
    tensors = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, torch.Tensor)]
    there = [value for value in tensors if isinstance(value, There)]
    here = [value for value in tensors if not isinstance(value, There) and value.dim() > 0]
    if there and here and str(func) not in MAY_MIX:
        raise RuntimeError(f"{func} of tensors elsewhere and here, of shapes {[tuple(t.shape) for t in tensors]}")
    device = kwargs.get("device")
    moved = bool(there) if device is None else torch.device(device).type == ELSEWHERE
    if device is not None:
        kwargs = {**kwargs, "device": "cpu"}
    inner_args, inner_kwargs = tree_map(lambda value: value.here if isinstance(value, There) else value,
                                        (args, kwargs))
    result = func(*inner_args, **inner_kwargs)
    if not moved:
        return result
    if str(func) == "aten._to_copy.default" and device is not None:
        return There(result)
    wrapped = tree_map(lambda value: There(value) if isinstance(value, torch.Tensor) else value, result)
    return return_and_correct_aliasing(func, args, kwargs, wrapped) if there else wrapped
