"""Column names and Arrow schemas, written once.

EVENTS is the wide columnar form of `core.events`: one row per event, fields that a kind does not have are null.
`value` is the kind's number: seconds for watch, stars for survey and label, null otherwise. `detail` is JSON for the rest
(scores of an impression, attributes of an upload).
"""

import pyarrow as pa

EVENT_ID = "event_id"
KIND = "kind"
EVENT_AT = "event_at"
RECEIVED_AT = "received_at"
VIEWER_ID = "viewer_id"
VIDEO_ID = "video_id"
REQUEST_ID = "request_id"
POSITION = "position"
SURFACE = "surface"
VALUE = "value"
RELEASE_ID = "release_id"
ARM = "arm"
TEAM = "team"
SOURCE = "source"
PROPENSITY = "propensity"
EXPLORATION = "exploration"
FEATURE_HASH = "feature_hash"
DETAIL = "detail"

EXTERNAL_ID = "external_id"
AGE_BAND = "age_band"
GENDER = "gender"
COUNTRY = "country"
LANGUAGE = "language"
DEVICE = "device"
SEGMENT = "segment"
TITLE = "title"
CHANNEL_ID = "channel_id"
CHANNEL = "channel"
CATEGORY = "category"
DURATION_S = "duration_s"
UPLOADED_AT = "uploaded_at"
CONTENT = "content"

UNKNOWN = "unknown"

EVENTS = pa.schema(
    [
        pa.field(EVENT_ID, pa.string(), nullable=False),
        pa.field(KIND, pa.string(), nullable=False),
        pa.field(EVENT_AT, pa.int64(), nullable=False),
        pa.field(RECEIVED_AT, pa.int64(), nullable=False),
        pa.field(VIEWER_ID, pa.int64(), nullable=False),
        pa.field(VIDEO_ID, pa.int64()),
        pa.field(REQUEST_ID, pa.string()),
        pa.field(POSITION, pa.int32()),
        pa.field(SURFACE, pa.string()),
        pa.field(VALUE, pa.float64()),
        pa.field(RELEASE_ID, pa.string()),
        pa.field(ARM, pa.string()),
        pa.field(TEAM, pa.string()),
        pa.field(SOURCE, pa.string()),
        pa.field(PROPENSITY, pa.float64()),
        pa.field(EXPLORATION, pa.bool_()),
        pa.field(FEATURE_HASH, pa.string()),
        pa.field(DETAIL, pa.string()),
    ]
)

VIEWERS = pa.schema(
    [
        pa.field(VIEWER_ID, pa.int64(), nullable=False),
        pa.field(EXTERNAL_ID, pa.string(), nullable=False),
        pa.field(AGE_BAND, pa.string(), nullable=False),
        pa.field(GENDER, pa.string(), nullable=False),
        pa.field(COUNTRY, pa.string(), nullable=False),
        pa.field(LANGUAGE, pa.string(), nullable=False),
        pa.field(DEVICE, pa.string(), nullable=False),
        pa.field(SEGMENT, pa.string(), nullable=False),
    ]
)

VIDEOS = pa.schema(
    [
        pa.field(VIDEO_ID, pa.int64(), nullable=False),
        pa.field(EXTERNAL_ID, pa.string(), nullable=False),
        pa.field(TITLE, pa.string(), nullable=False),
        pa.field(CHANNEL_ID, pa.int64(), nullable=False),
        pa.field(CHANNEL, pa.string(), nullable=False),
        pa.field(CATEGORY, pa.string(), nullable=False),
        pa.field(LANGUAGE, pa.string(), nullable=False),
        pa.field(DURATION_S, pa.float32()),
        pa.field(UPLOADED_AT, pa.int64()),
        pa.field(CONTENT, pa.list_(pa.float32())),
    ]
)

VIEWER_ATTRIBUTES = (AGE_BAND, GENDER, COUNTRY, LANGUAGE, DEVICE, SEGMENT)
