"""A finished report, written to a file once somebody has signed it off."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.tools.publishing.formats import format_of as format_of
    from signoff.tools.publishing.publish import Attachment as Attachment, Publication as Publication
    from signoff.tools.publishing.publish import publish_report as publish_report
offer(__name__)
