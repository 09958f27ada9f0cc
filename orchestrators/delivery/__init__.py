"""The `delivery` flow: drafts of earlier runs → approved → sent, each at most once."""

from orchestrators.delivery.flow import delivery
from orchestrators.delivery.request import DeliveryRequest, DraftToSend

__all__ = ["DeliveryRequest", "DraftToSend", "delivery"]
