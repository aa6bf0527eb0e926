"""Azure's file system, with what adlfs does otherwise than the file systems of fsspec."""

from __future__ import annotations

from typing import Any

from adlfs import AzureBlobFileSystem


class AzureFileSystem(AzureBlobFileSystem):  # type: ignore[misc]
    """Containers of Azure Blob Storage. Paths are taken as they are: adlfs splits them as URIs, so that ``m?`` is ``m``."""

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return [cls._strip_protocol(each) for each in path] if isinstance(path, list) else path.lstrip("/")

    async def _find(self, path: str, withdirs: bool = False, prefix: str = "", **kwargs: Any) -> Any:
        found = await super()._find(path, withdirs=withdirs, prefix=prefix, **kwargs)
        if kwargs.get("detail") and isinstance(found, list):  # of a file, adlfs returns its name
            return {each: await self._info(each) for each in found}
        return found
