"""The nine endpoints the sandbox stands in for, and the channels they belong to.

Source: vendor's document, 'Message service', 'Email service', 'Webhooks'.
"""

from collections.abc import Mapping
from typing import Final, Literal, get_args

Channel = Literal["sms", "email"]

EndpointName = Literal[
    "sms/grouplist",
    "sms/userlist",
    "sms/addgroup",
    "sms/addcontact",
    "email/grouplist",
    "email/userlist",
    "email/addgroup",
    "email/addcontact",
    "webhook/verification",
]

CHANNELS: Final[tuple[Channel, ...]] = get_args(Channel)
ENDPOINTS: Final[tuple[EndpointName, ...]] = get_args(EndpointName)

PATHS: Final[Mapping[EndpointName, str]] = {
    "sms/grouplist": "/v3/smstool/grouplist",
    "sms/userlist": "/v3/smstool/userlist",
    "sms/addgroup": "/v3/smstool/addgroup",
    "sms/addcontact": "/v3/smstool/addcontact",
    "email/grouplist": "/v3/emailtool/grouplist",
    "email/userlist": "/v3/emailtool/userlist",
    "email/addgroup": "/v3/emailtool/addgroup",
    "email/addcontact": "/v3/emailtool/addcontact",
    "webhook/verification": "/v4/webhook/verification",
}
