"""Object storage, the system of record: pictures by hash, and everything that is known of a job."""

from tasks.store.archive import Archive, Control, Snapshot
from tasks.store.images import Images, clean_upload, image_hash, picture_of, raster_hash, raster_of
from tasks.store.objects import Corrupt, Damaged, FolderStore, Item, Newer, NotFound, S3Store, Store
from tasks.store.picks import Pick
from tasks.store.thumbnails import Thumbnails

__all__ = [
    "Archive",
    "Control",
    "Corrupt",
    "Damaged",
    "FolderStore",
    "Images",
    "Item",
    "Newer",
    "NotFound",
    "Pick",
    "S3Store",
    "Snapshot",
    "Store",
    "Thumbnails",
    "clean_upload",
    "image_hash",
    "picture_of",
    "raster_hash",
    "raster_of",
]
