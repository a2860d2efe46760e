"""The page where people see what runs do, and decide what they propose."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.desk.web.application import build_app as build_app, desk_app as desk_app
offer(__name__)
