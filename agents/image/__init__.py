"""The `image` agent: a picture in the brand's colours, checked, with its lineage."""

from agents.image.agent import image
from agents.image.request import ImageRequest
from agents.image.store import FileImages, ImageStore, UnknownImage
from agents.image.svg import UnsafeImage

__all__ = ["FileImages", "ImageRequest", "ImageStore", "UnknownImage", "UnsafeImage", "image"]
