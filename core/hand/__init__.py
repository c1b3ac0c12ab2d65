"""The hand: MANO's form, the embedded hand or the user's own MANO files."""

from core.hand.errors import HandError
from core.hand.load import load_hand
from core.hand.model import HandModel, HandOutput

__all__ = ["HandError", "HandModel", "HandOutput", "load_hand"]
