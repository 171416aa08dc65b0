"""The project's own breast phantom: mammogram views as arrays, made from a seed. It needs no data and is nobody's."""

from models.phantom.anatomy import Lesion
from models.phantom.view import PhantomView, make_view

__all__ = ["Lesion", "PhantomView", "make_view"]
