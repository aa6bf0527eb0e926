"""Azure's file system, which takes paths as they are."""

from __future__ import annotations

from typing import Any

from adlfs import AzureBlobFileSystem


class AzureFileSystem(AzureBlobFileSystem):  # type: ignore[misc]
    """Containers of Azure Blob Storage. adlfs itself splits paths as URIs, so that ``m?`` is ``m``."""

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return [cls._strip_protocol(each) for each in path] if isinstance(path, list) else path.lstrip("/")
