"""Copies of artifacts by their content: what is held stays as it is, whatever happens to where it came from."""

from __future__ import annotations

import fcntl
import mmap
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidegate.protocol.errors import ModelLoadFailed, ShuttingDown
from tidegate.storage.cache import ArtifactCache, CacheSettings
from tidegate.storage.tree import Beside


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def cache(directory: Path) -> Iterator[ArtifactCache]:
    with ArtifactCache(CacheSettings(directory=directory)) as made:
        yield made


def write(path: Path, content: str = "weights") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def tree(top: Path) -> dict[str, str]:
    return {str(path.relative_to(top)): path.read_text() for path in sorted(top.rglob("*")) if path.is_file()}


def test_overwriting_a_file_changes_nothing_that_is_held(cache: ArtifactCache, tmp_path: Path) -> None:
    """A file is cut short in place, and who maps the copy reads on; a later start finds the old bytes."""
    source = write(tmp_path / "a.onnx", "old")
    held = cache.hold(source)
    assert (held.path.name, held.path.read_text()) == ("a.onnx", "old")
    with held.path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        source.write_text("")
        assert mapped[:] == b"old"
    assert held.path.read_text() == "old"
    source.unlink()
    assert held.path.read_text() == "old"


def test_the_same_content_is_there_once(cache: ArtifactCache, directory: Path, tmp_path: Path) -> None:
    """Of two versions, of two servers, and of a directory that holds the same file alone."""
    one = cache.hold(write(tmp_path / "1" / "m.onnx"))
    two = cache.hold(write(tmp_path / "2" / "m.onnx"))
    with ArtifactCache(CacheSettings(directory=directory)) as other:
        three = other.hold(tmp_path / "2")
        assert one.path == two.path == three.path / "m.onnx"
    assert [entry.name for entry in directory.iterdir()] == [f"sha256-{one.digest}"]
    assert cache.hold(write(tmp_path / "3" / "m.onnx", "else")).digest != one.digest
    assert cache.hold(write(tmp_path / "3" / "n.onnx")).digest != one.digest


def test_a_directory_is_copied_whole(cache: ArtifactCache, tmp_path: Path) -> None:
    """Empty directories, too; links become what they lead to; what is hidden, bytecode and the model's own settings do
    not go with it."""
    top = tmp_path / "saved"
    write(top / "saved.pb")
    write(top / "variables" / "data", "numbers")
    write(top / ".git" / "x")
    write(top / "__pycache__" / "model.pyc")
    write(top / "model.yaml", "replicas: 2")
    write(top / "variables" / "model.yaml", "inner")
    (top / "assets").mkdir()
    (top / "link").symlink_to(top / "variables")
    held = cache.hold(top)
    assert tree(held.path) == {
        "saved.pb": "weights",
        "variables/data": "numbers",
        "variables/model.yaml": "inner",
        "link/data": "numbers",
        "link/model.yaml": "inner",
    }
    assert (held.path / "assets").is_dir()
    assert not any(path.is_symlink() for path in held.path.rglob("*"))
    assert {stat.S_IMODE(path.stat().st_mode) for path in held.path.rglob("*")} == {0o444, 0o555}


@pytest.mark.parametrize(
    ("beside", "names"),
    [
        pytest.param(Beside.NOTHING, {"a.onnx"}, id="nothing"),
        pytest.param(Beside.NAMED, {"a.onnx", "a.onnx.data", "a_weights.bin"}, id="named"),
        pytest.param(Beside.ALL, {"a.onnx", "a.onnx.data", "a_weights.bin", "ab.onnx", "b.bin"}, id="all"),
    ],
)
def test_files_beside_a_file_go_with_it(cache: ArtifactCache, tmp_path: Path, beside: Beside, names: set[str]) -> None:
    """None, those that begin with its stem, or all but settings and what is hidden."""
    for name in ("a.onnx", "a.onnx.data", "a_weights.bin", "ab.onnx", "b.bin", ".a.hidden", "a.model.yaml"):
        write(tmp_path / "m" / name)
    assert set(tree(cache.hold(tmp_path / "m" / "a.onnx", beside).path.parent)) == names


def test_links_of_a_trusted_source_are_followed(cache: ArtifactCache, tmp_path: Path) -> None:
    """A hub's cache lies apart from the directory that links to it. From others a link stays inside, or is refused."""
    top = tmp_path / "snapshot"
    write(tmp_path / "blobs" / "x", "blob")
    write(top / "config.json")
    (top / "inner").symlink_to("config.json")
    assert tree(cache.hold(top, trusted=False).path) == {"config.json": "weights", "inner": "weights"}
    (top / "weights").symlink_to("../blobs/x")
    assert tree(cache.hold(top).path)["weights"] == "blob"
    with pytest.raises(ModelLoadFailed) as caught:
        cache.hold(top, trusted=False)
    assert caught.value.message == (
        f"'{top}/weights' is a link that leads out of the model's directory; from a source that is not trusted only "
        f"links within it are followed"
    )


def test_what_is_no_file_is_refused(cache: ArtifactCache, tmp_path: Path) -> None:
    """Reading a pipe would wait for ever, and a directory that links to itself has no end."""
    top = tmp_path / "m"
    write(top / "saved.pb")
    os.mkfifo(top / "pipe")
    with pytest.raises(ModelLoadFailed, match=r"/m/pipe' is neither a file nor a directory$"):
        cache.hold(top)
    (top / "pipe").unlink()
    (top / "again").symlink_to(top)
    with pytest.raises(ModelLoadFailed, match=r"/m/again' is a directory that leads into itself, or is too deep$"):
        cache.hold(top)


def test_a_source_that_is_gone_is_told(cache: ArtifactCache, tmp_path: Path) -> None:
    """With the system's reason."""
    with pytest.raises(ModelLoadFailed, match=r"/gone' cannot be read: No such file or directory$"):
        cache.hold(tmp_path / "gone")


def test_a_directory_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    """And how to do without it."""
    source = write(tmp_path / "a.onnx")
    with ArtifactCache(CacheSettings(directory=source / "cache")) as cache, pytest.raises(ModelLoadFailed) as caught:
        cache.hold(source)
    assert caught.value.message == (
        f"'{source}' cannot be copied to the model cache: '{source}/cache': Not a directory; --model-cache-directory "
        f"names another place, --no-model-cache serves files where they lie"
    )


def test_a_damaged_copy_is_made_anew(cache: ArtifactCache, directory: Path, tmp_path: Path) -> None:
    """A disk that lost the end of a file, or somebody's hand in it, costs a copy."""
    source = write(tmp_path / "a.onnx")
    held = cache.hold(source)
    cache.release(held)
    held.path.chmod(0o644)
    held.path.write_text("damaged")
    again = cache.hold(source)
    assert (again.path, again.path.read_text()) == (held.path, "weights")
    assert len(list(directory.iterdir())) == 1


def test_a_damaged_copy_in_use_is_told(cache: ArtifactCache, directory: Path, tmp_path: Path) -> None:
    """It is not taken from under the server that uses it."""
    source = write(tmp_path / "a.onnx")
    held = cache.hold(source)
    held.path.chmod(0o644)
    held.path.write_text("damaged")
    with ArtifactCache(CacheSettings(directory=directory)) as other, pytest.raises(ModelLoadFailed) as caught:
        other.hold(source)
    assert caught.value.message == (f"'{directory}/sha256-{held.digest}' in the model cache is damaged, and in use")


def test_the_least_recently_used_copy_leaves(directory: Path, tmp_path: Path) -> None:
    """Above the bound, and never one that is used, by whatever server."""
    with ArtifactCache(CacheSettings(directory=directory, max_bytes=10)) as cache:
        held = [cache.hold(write(tmp_path / name, name * 5)) for name in "abcd"]
        for age, each in enumerate(reversed(held[:3])):
            os.utime(directory / f"sha256-{each.digest}", (age + 1, age + 1))
        assert all(each.path.exists() for each in held)
        for each in held[:3]:
            cache.release(each)
        with ArtifactCache(CacheSettings(directory=directory, max_bytes=10)) as other:
            fifth = other.hold(write(tmp_path / "e", "e" * 5))
        assert [each.path.exists() for each in (*held, fifth)] == [True, True, False, True, True]


def test_nothing_unused_is_kept_without_room(directory: Path, tmp_path: Path) -> None:
    """A bound of 0 keeps what is served."""
    with ArtifactCache(CacheSettings(directory=directory, max_bytes=0)) as cache:
        one = cache.hold(write(tmp_path / "a"))
        cache.release(one)
        two = cache.hold(write(tmp_path / "b"))
        assert [entry.name for entry in directory.iterdir()] == [f"sha256-{two.digest}"]


def test_what_a_dead_server_began_is_removed(cache: ArtifactCache, directory: Path, tmp_path: Path) -> None:
    """But not what another is about to copy."""
    write(directory / "draft-dead" / "model" / "a")
    (directory / "draft-dead" / "model").chmod(0o555)
    write(directory / "draft-alive" / "model" / "a")
    alive = os.open(directory / "draft-alive", os.O_RDONLY)
    try:
        fcntl.flock(alive, fcntl.LOCK_EX)
        held = cache.hold(write(tmp_path / "a"))
        assert {entry.name for entry in directory.iterdir()} == {"draft-alive", f"sha256-{held.digest}"}
    finally:
        os.close(alive)


def test_a_cache_that_ends_copies_no_further(cache: ArtifactCache, directory: Path, tmp_path: Path) -> None:
    """And leaves nothing half."""
    cache.close()
    with pytest.raises(ShuttingDown):
        cache.hold(write(tmp_path / "a"))
    assert list(directory.iterdir()) == []


def test_a_bound_below_nothing_is_refused(directory: Path) -> None:
    """With the field's name."""
    with pytest.raises(ValueError, match=r"^max_bytes is -1, expected at least 0$"):
        CacheSettings(directory=directory, max_bytes=-1)


def test_what_is_pinned_stays_and_is_taken_without_its_source(directory: Path, tmp_path: Path) -> None:
    """Nobody serves it, and there is no room for what nobody uses; its source is gone."""
    source = write(tmp_path / "a.onnx", "old")
    with ArtifactCache(CacheSettings(directory=directory, max_bytes=0)) as cache:
        held = cache.hold(source)
        pinned = cache.pin(held.digest)
        assert pinned is not None
        cache.release(held)
        source.unlink()
        other = cache.hold(write(tmp_path / "b.onnx", "new"))  # which evicts what nobody uses
        cache.release(other)
        taken = cache.hold_digest(held.digest)
        assert taken is not None
        assert tree(taken.path) == {"a.onnx": "old"}
        cache.release(taken)
        cache.release(pinned)
        cache.hold(write(tmp_path / "c.onnx", "newest"))
        assert cache.hold_digest(held.digest) is None
        assert cache.pin(held.digest) is None


def test_a_pin_needs_no_look_at_the_content_and_a_hold_has_one(directory: Path, tmp_path: Path) -> None:
    """A damaged copy can be pinned; whoever takes it by its digest is told, or gets nothing where it can be removed."""
    with ArtifactCache(CacheSettings(directory=directory)) as cache:
        held = cache.hold(write(tmp_path / "a.onnx"))
        held.path.chmod(0o644)
        held.path.write_text("others")
        cache.release(held)
        pinned = cache.pin(held.digest)
        assert pinned is not None
        with pytest.raises(ModelLoadFailed, match="is damaged, and in use"):
            cache.hold_digest(held.digest)
        cache.release(pinned)
        assert cache.hold_digest(held.digest) is None
        assert list(directory.iterdir()) == []


@pytest.mark.parametrize("digest", ["", "..", "../../etc", "A" * 64, "0" * 63, "0" * 64 + "/x"])
def test_only_a_digest_is_looked_for(cache: ArtifactCache, digest: str) -> None:
    """Nothing else becomes a path."""
    assert cache.hold_digest(digest) is None
    assert cache.pin(digest) is None


def test_settings_can_be_part_of_what_is_copied(cache: ArtifactCache, tmp_path: Path) -> None:
    """They lie beside the model, so that it is loaded as it was; with others the content is another one."""
    config = write(tmp_path / "m" / "model.yaml", "threads: 2")
    model = write(tmp_path / "m" / "a.onnx")
    plain, one = cache.hold(model), cache.hold(model, config=config)
    assert (plain.config, one.config is not None and one.config.read_text()) == (None, "threads: 2")
    assert tree(one.path.parent) == {"a.onnx": "weights"}
    taken = cache.hold_digest(one.digest)
    assert taken is not None
    assert taken.config == one.config
    assert cache.hold(model, config=config).path == one.path
    config.write_text("threads: 3")
    assert len({plain.digest, one.digest, cache.hold(model, config=config).digest}) == 3
