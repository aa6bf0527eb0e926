from __future__ import annotations

from collections.abc import Callable

import pytest
from support.stores import latest_version

from mlsql_runtime.errors import FormatError, InputError, IntegrityError, VersionNotFound
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.manifest import FailureRecord, FileEntry, FitRecord, Manifest
from mlsql_runtime.store.publish import claim_version
from mlsql_runtime.store.verification import verify_files
from mlsql_runtime.store.versions import (
    choose_fit,
    open_model_path,
    read_manifest,
    read_record,
    read_states,
)

Publish = Callable[..., Manifest]


def test_a_version_without_a_manifest_is_invisible(root: Location, publish: Publish, fail: Callable[..., int]) -> None:
    publish(root)
    failed = fail(root)
    with claim_version(root, "running") as draft:
        (draft.folder / "model" / "0" / "model.bin").write(b"half")
        assert latest_version(root) == 1
        assert read_manifest(root).version == 1
        assert read_states(root) == {3: "unfinished", 2: "failed", 1: "complete"}
        assert read_states(root, [failed, draft.version]) == {failed: "failed", draft.version: "unfinished"}


def test_a_model_path_without_versions_has_no_latest(root: Location) -> None:
    assert latest_version(root) is None
    assert read_states(root) == {}


def test_a_version_that_is_not_complete_names_those_that_are(root: Location, publish: Publish, fail: Callable[..., int]) -> None:
    publish(root)
    publish(root)
    fail(root)
    expected = {
        7: "version 7;",
        0: "version 0;",
        3: "version 3 (its training failed)",
        4: "version 4 (its training has not finished)",
    }
    with claim_version(root, "running"):
        for version, text in expected.items():
            with pytest.raises(VersionNotFound) as caught:
                read_manifest(root, version)
            assert text in caught.value.message
            assert "complete versions are 1, 2" in caught.value.message
            assert caught.value.facts == {"path": root.uri, "version": version}


def test_of_many_complete_versions_the_newest_are_named(local_root: Location, publish: Publish) -> None:
    for _ in range(12):
        publish(local_root)
    with pytest.raises(VersionNotFound) as caught:
        read_manifest(local_root, 13)
    assert caught.value.message.endswith("complete versions are 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, and 2 older ones")


def test_a_model_path_with_failures_only_has_no_manifest(root: Location, fail: Callable[..., int]) -> None:
    fail(root)
    with pytest.raises(VersionNotFound, match="no complete model version"):
        read_manifest(root)


def test_a_failure_record_tells_why(root: Location, publish: Publish, fail: Callable[..., int]) -> None:
    number = fail(root, "group 0 (failed): größer")
    record = read_record(root, number)
    assert isinstance(record, FailureRecord)
    assert (record.message, record.version, record.fits[0].status) == ("group 0 (failed): größer", 1, "failed")
    assert read_record(root, publish(root).version) == read_manifest(root, 2)


@pytest.mark.parametrize(
    ("scores", "greater_is_better", "best"),
    [
        ([("success", 0.1), ("success", 0.9), ("success", 0.5)], True, 1),
        ([("success", 0.4), ("success", -0.9), ("success", 0.5)], False, 1),
        ([("success", None), ("success", -5.0)], True, 1),
        ([("success", None), ("success", 5.0)], False, 1),
        ([("success", 0.5), ("success", 0.5)], True, 0),
        ([("success", 0.5), ("success", 0.5)], False, 0),
        ([("success", None), ("success", None)], True, 0),
        ([("failed", 0.9), ("success", 0.1)], True, 1),
        ([("timeout", None), ("success", None)], True, 1),
    ],
)
def test_the_best_group(
    scores: list[tuple[str, float | None]],
    greater_is_better: bool,
    best: int,
    fit_record: Callable[..., FitRecord],
    manifest_of: Callable[..., Manifest],
) -> None:
    fits = [fit_record(index, score, status) for index, (status, score) in enumerate(scores)]
    manifest = manifest_of(1, fits, greater_is_better=greater_is_better)
    assert (manifest.best.alg_index, manifest.best.score) == (best, scores[best][1])
    assert choose_fit(manifest, None, "/m").alg_index == best


def test_a_tie_goes_to_the_lower_index_in_any_order(
    fit_record: Callable[..., FitRecord], manifest_of: Callable[..., Manifest]
) -> None:
    assert manifest_of(1, [fit_record(2, 0.5), fit_record(1, 0.5)]).best.alg_index == 1


def test_a_successful_group_can_be_asked_for(fit_record: Callable[..., FitRecord], manifest_of: Callable[..., Manifest]) -> None:
    fits = [fit_record(0, 0.9), fit_record(1, None, "failed"), fit_record(2, 0.1)]
    assert choose_fit(manifest_of(1, fits), 2, "/m").alg_index == 2


@pytest.mark.parametrize(("index", "fragment"), [(1, "did not succeed (it ended with exit code 3)"), (5, "does not exist")])
def test_another_group_names_the_successful_ones(
    index: int, fragment: str, fit_record: Callable[..., FitRecord], manifest_of: Callable[..., Manifest]
) -> None:
    fits = [fit_record(0, 0.9), fit_record(1, None, "failed"), fit_record(2, 0.1)]
    with pytest.raises(VersionNotFound) as caught:
        choose_fit(manifest_of(4, fits), index, "/m")
    assert fragment in caught.value.message
    assert "successful groups are 0, 2" in caught.value.message


def test_the_result_of_a_manifest(fit_record: Callable[..., FitRecord], manifest_of: Callable[..., Manifest]) -> None:
    result = manifest_of(3, [fit_record(0, None, "timeout"), fit_record(1, 0.75)]).result("/m")
    assert (result.model_path, result.version, result.score, result.best.alg_index, result.rows) == ("/m", 3, 0.75, 1, 150)
    assert [(fit.status, fit.seconds) for fit in result.fits] == [("timeout", 1.5), ("success", 1.5)]


def test_verify_accepts_what_was_published(root: Location, publish: Publish) -> None:
    manifest = publish(root, 0.1, 0.2)
    verify_files(root / "_model_1", manifest.files)


def test_verify_names_a_file_with_one_flipped_byte_and_both_digests(root: Location, publish: Publish) -> None:
    entry = publish(root, 0.1, 0.2).files[1]
    place = root / "_model_1" / entry.path
    data = bytearray(place.read())
    data[3] ^= 1
    place.write(bytes(data))
    with pytest.raises(IntegrityError) as caught:
        verify_files(root / "_model_1", read_manifest(root, 1).files)
    assert caught.value.facts == {"path": place.uri, "expected": entry.sha256, "found": place.sha256()}
    assert all(fact in caught.value.message for fact in caught.value.facts.values())


def test_verify_names_a_missing_file(root: Location, publish: Publish) -> None:
    entry = publish(root).files[0]
    place = root / "_model_1" / entry.path
    place.remove()
    with pytest.raises(IntegrityError, match="missing") as caught:
        verify_files(root / "_model_1", (entry,))
    assert caught.value.facts == {"path": place.uri}


def test_verify_reads_only_the_files_it_is_given(root: Location, publish: Publish) -> None:
    manifest = publish(root, 0.1, 0.2)
    (root / "_model_1" / "model/1/model.bin").remove()
    verify_files(root / "_model_1", manifest.files_below("model/0"))


def test_files_below_a_folder_are_not_those_of_a_longer_name(manifest_of: Callable[..., Manifest]) -> None:
    files = tuple(FileEntry(path=path, size=1, sha256="0" * 64) for path in ("model/1/a", "model/10/a", "model/1/b/c"))
    assert [entry.path for entry in manifest_of(1, [], files).files_below("model/1")] == ["model/1/a", "model/1/b/c"]


def test_a_damaged_manifest_is_refused_by_name(root: Location, publish: Publish) -> None:
    publish(root)
    place = root / "_model_1" / "manifest.json"
    for damage in (b"", b"{}", b'{"format_version": 1}', b"{"):
        place.write(damage)
        with pytest.raises(FormatError) as caught:
            read_manifest(root)
        assert place.uri in caught.value.message


def test_a_model_path_may_be_a_folder_or_nothing_yet(root: Location, publish: Publish) -> None:
    assert open_model_path(root.uri) == root
    publish(root)
    assert latest_version(open_model_path(root.uri)) == 1


def test_a_model_path_that_is_a_file_is_refused(root: Location) -> None:
    root.write(b"a file")
    with pytest.raises(InputError) as caught:
        open_model_path(root.uri)
    assert caught.value.facts == {"path": root.uri}


def test_a_manifest_in_the_folder_of_another_version_is_not_believed(root: Location, publish: Publish) -> None:
    publish(root)
    publish(root)
    (root / "_model_2" / "manifest.json").replace((root / "_model_1" / "manifest.json").read())
    with pytest.raises(FormatError, match=r"_model_2/manifest\.json: version is 1, its place says 2; the file is damaged"):
        read_manifest(root, 2)
