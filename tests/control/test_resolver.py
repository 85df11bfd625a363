"""What a template's reference to a model turns out to mean on this machine."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tidegate.control.formats import with_version
from tidegate.control.resolver import LocalResolver, ResolverSettings
from tidegate.protocol.errors import ModelLoadFailed, UntrustedModel
from tidegate.resources.actuator import Resolved
from tidegate.runtimes.trust import TrustPolicy
from tidegate.storage.cache import ArtifactCache, CacheSettings, Held
from tidegate.storage.done import UNHEARD, Done
from tidegate.storage.tree import Beside

NOON = 1_800_000_000.0


class Stage:
    """A resolver over a cache that keeps nothing that nobody holds, and a directory of models."""

    def __init__(self, path: Path, cache: ArtifactCache, *trusted: Path) -> None:
        self.models = path / "models"
        self.models.mkdir(exist_ok=True)
        self.cache = cache
        self._others = 0
        settings = ResolverSettings(base=self.models, trust=TrustPolicy(trusted))
        self.resolver = LocalResolver(cache, settings, clock=lambda: NOON)

    def write(self, name: str, content: str = "{}") -> Path:
        path = self.models / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path

    def resolve(self, uri: str | Path, form: str = "fake", **model: Any) -> Resolved:
        described = {"modelFormat": {"name": form}, "storageUri": str(uri), **model}
        return asyncio.run(self.resolver.resolve("default", {"predictor": {"model": described}}))

    def refused(self, uri: str | Path, form: str = "fake", **model: Any) -> str:
        with pytest.raises(ModelLoadFailed) as caught:
            self.resolve(uri, form, **model)
        return caught.value.message

    def keep(self, *digests: str) -> None:
        asyncio.run(self.resolver.keep(frozenset(digests)))

    def evict(self) -> None:
        """Let the cache make room by what nobody holds."""
        self._others += 1
        self.cache.release(self.cache.hold(self.write("other.onnx", f"other {self._others}")))


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ArtifactCache]:
    with ArtifactCache(CacheSettings(directory=tmp_path / "cache", max_bytes=0)) as made:
        yield made


@pytest.fixture
def stage(tmp_path: Path, cache: ArtifactCache) -> Stage:
    return Stage(tmp_path, cache)


def test_a_file(stage: Stage) -> None:
    """Its content by digest, who reads it, and when; a file has no version."""
    path = stage.write("m.fake.json")
    resolved = stage.resolve(path)
    held = stage.cache.hold(path)
    assert resolved == Resolved(
        str(path), f"sha256:{held.digest}", version="", runtime="fake", format="tidegate's fake model", at=NOON
    )
    assert stage.resolve("m.fake.json").digest == stage.resolve(path.as_uri()).digest == resolved.digest
    assert stage.resolve("m.fake.json").uri == "m.fake.json"


def test_progress_is_told_in_the_loop(stage: Stage) -> None:
    """While the thread is at work, until all is done; who has given it up hears no more of it."""
    path = stage.write("m.fake.json", "{}" + " " * (5 << 20))
    template = {"predictor": {"model": {"modelFormat": {"name": "fake"}, "storageUri": str(path)}}}
    told: list[float] = []
    threads: set[int] = set()

    def progress(share: float) -> None:
        told.append(share)
        threads.add(threading.get_ident())

    async def run() -> None:
        await stage.resolver.resolve("default", template, progress)
        assert told == sorted(told)
        assert told[-1] == 1.0
        heard = len(told)
        stage.evict()
        path.write_text("[]" + " " * (5 << 20))
        given_up = asyncio.ensure_future(stage.resolver.resolve("default", template, progress))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait({given_up})
        await asyncio.get_running_loop().shutdown_default_executor()
        await asyncio.sleep(0)
        assert len(told) == heard

    asyncio.run(run())
    assert threads == {threading.get_ident()}


def test_the_highest_version_of_a_directory(stage: Stage) -> None:
    """By number, and it is the model's version; named itself, a version is a model without one."""
    for version in ("2", "10", "9"):
        stage.write(f"m/{version}/model.fake.json", f'{{"poison": {version}}}')
    assert stage.resolve("m").version == "10"
    assert stage.resolve("m/10") == Resolved(
        "m/10", stage.resolve("m").digest, version="", runtime="fake", format="tidegate's fake model", at=NOON
    )
    stage.write("m/model.yaml", "version_policy: {specific: [2, 9]}")
    assert stage.resolve("m").version == "9"
    stage.write("m/model.yaml", "version_policy: {all: true}")
    assert stage.resolve("m").version == "10"


def test_a_marked_directory_with_versions(stage: Stage, cache: ArtifactCache, tmp_path: Path) -> None:
    """The version folder is the model."""
    stage.write("m/4/saved_model.pb")
    trusting = Stage(tmp_path, cache, stage.models)
    assert (trusting.resolve("m", "tensorflow").version, trusting.resolve("m", "tensorflow").format) == (
        "4",
        "SavedModel",
    )


def test_a_directory_of_several_models_is_refused(stage: Stage) -> None:
    """With their names."""
    stage.write("a.fake.json")
    stage.write("b/model.fake.json")
    assert stage.refused(stage.models) == (
        f"'{stage.models}' holds 2 models, 'a', 'b'; expected the path of one of them"
    )


def test_settings_beside_the_model_are_part_of_it(stage: Stage) -> None:
    """A revision with others is another one."""
    stage.write("m/model.fake.json")
    plain = stage.resolve("m").digest
    stage.write("m/model.yaml", "threads: 2")
    assert stage.resolve("m").digest != plain


class Overtaken(ArtifactCache):
    """A cache that is late: in the moment before a directory is copied its one file is another."""

    def __init__(self, settings: CacheSettings, *instead: str) -> None:
        super().__init__(settings)
        self._instead = list(instead)

    def hold(
        self,
        path: Path,
        beside: Beside = Beside.NOTHING,
        trusted: bool = True,
        config: Path | None = None,
        done: Done = UNHEARD,
    ) -> Held:
        if self._instead:
            (found,) = path.iterdir()
            found.rename(path / self._instead.pop())
        return super().hold(path, beside, trusted, config, done)


def test_what_a_model_is_is_read_off_its_copy(stage: Stage, tmp_path: Path) -> None:
    """Which is what will be loaded: what was seen where it came from may be another one by then."""
    written = stage.write("m/saved_model.pb")
    settings = CacheSettings(directory=tmp_path / "late", max_bytes=0)
    with Overtaken(settings, "model.keras") as late:
        assert Stage(tmp_path, late, stage.models).resolve("m", "tensorflow").format == "Keras"
    written.with_name("model.keras").rename(written)
    with Overtaken(settings, "config.json") as late:
        overtaken = Stage(tmp_path, late, stage.models)
        assert "but the model is a" in overtaken.refused("m", "tensorflow")
        overtaken.evict()
        assert not list(settings.directory.rglob("config.json")), "what is no use to anybody is not held"


def test_what_is_kept_needs_its_source_no_more(stage: Stage) -> None:
    """Until it is let go of; asked for by its digest, it comes back as it was."""
    stage.write("m.fake.json", '{"poison": 1}')
    resolved = stage.resolve("m.fake.json")
    (stage.models / "m.fake.json").unlink()
    stage.evict()
    assert stage.resolve("m.fake.json", digest=resolved.digest) == resolved
    stage.keep(resolved.digest)
    stage.evict()
    assert stage.resolve("m.fake.json", digest=resolved.digest) == resolved
    stage.keep()
    stage.evict()
    assert "does not exist" in stage.refused("m.fake.json", digest=resolved.digest)


def test_who_is_asked_to_keep_something_else_meanwhile_keeps_that(stage: Stage, tmp_path: Path) -> None:
    """The last word holds, in whatever order the disk answers."""
    stage.write("m.fake.json")
    digest = stage.resolve("m.fake.json").digest

    with ArtifactCache(CacheSettings(directory=tmp_path / "cache", max_bytes=0)) as second:
        other = Stage(tmp_path, second)

        async def both() -> None:
            await asyncio.gather(other.resolver.keep(frozenset((digest,))), other.resolver.keep(frozenset()))

        asyncio.run(both())
        stage.keep()
        (stage.models / "m.fake.json").unlink()
        stage.evict()
        assert "does not exist" in stage.refused("m.fake.json", digest=digest)


def test_another_process_keeps_what_was_resolved(stage: Stage, tmp_path: Path) -> None:
    """By its digest, without a look at it; what is gone is passed over."""
    stage.write("m.fake.json")
    resolved = stage.resolve("m.fake.json")
    with ArtifactCache(CacheSettings(directory=tmp_path / "cache", max_bytes=0)) as second:
        other = Stage(tmp_path, second)
        other.keep(resolved.digest, f"sha256:{'0' * 64}", "", "sha256:../../x")
        stage.keep()
        (stage.models / "m.fake.json").unlink()
        stage.evict()
        assert other.resolve("m.fake.json", digest=resolved.digest) == resolved


def test_content_that_is_not_what_the_digest_says_is_refused(stage: Stage) -> None:
    """Both are told."""
    path = stage.write("m.fake.json")
    found = stage.resolve(path).digest
    wanted = f"sha256:{'0' * 64}"
    assert stage.refused(path, digest=wanted) == (
        f"spec.predictor.model.digest is '{wanted}', but the content of '{path}' is '{found}'"
    )


def test_a_format_that_can_execute_code_is_read_from_trusted_places_only(
    stage: Stage, cache: ArtifactCache, tmp_path: Path
) -> None:
    """By default from none; a link in a trusted place vouches for nothing outside of it, and one to it is as good."""
    path = stage.write("m.joblib", "pickled")
    with pytest.raises(UntrustedModel) as caught:
        stage.resolve(path, "sklearn")
    assert caught.value.message == (
        "model 'm' is a joblib file, and reading one can run any code that its author put there; it is loaded only "
        "from a trusted source: a path typed on the command line, or one below a directory that --trust names"
    )
    assert not (tmp_path / "cache").exists(), "nothing of it was copied"
    trusting = Stage(tmp_path, cache, stage.models)
    assert trusting.resolve(path, "sklearn").runtime == with_version("sklearn")
    (stage.models / "inside").mkdir()
    (stage.models / "inside" / "link.joblib").symlink_to(path)
    inside = Stage(tmp_path, cache, stage.models / "inside")
    with pytest.raises(UntrustedModel):
        inside.resolve("inside/link.joblib", "sklearn")
    (stage.models / "inside" / "folder").mkdir()
    (stage.models / "inside" / "folder" / "model.joblib").symlink_to(path)
    with pytest.raises(UntrustedModel):
        inside.resolve("inside/folder", "sklearn")
    (tmp_path / "door").symlink_to(stage.models)
    assert trusting.resolve(tmp_path / "door" / "m.joblib", "sklearn")
    assert Stage(tmp_path, cache, tmp_path / "door").resolve(path, "sklearn")
    shutil.copytree(stage.models, tmp_path / "models-of-others")
    with pytest.raises(UntrustedModel):
        trusting.resolve(tmp_path / "models-of-others" / "m.joblib", "sklearn")


def test_a_digest_does_not_make_a_place_trusted(stage: Stage, cache: ArtifactCache, tmp_path: Path) -> None:
    """What is kept of a trusted place is refused to who refers to it by another."""
    path = stage.write("m.joblib", "pickled")
    digest = Stage(tmp_path, cache, stage.models).resolve(path, "sklearn").digest
    with pytest.raises(UntrustedModel):
        Stage(tmp_path, cache).resolve(path, "sklearn", digest=digest)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        pytest.param(
            {"predictor": {"containers": [{"image": "x"}]}},
            "spec.predictor.containers needs a container, and none can run on this machine",
            id="containers",
        ),
        pytest.param(
            {"predictor": {"model": {"image": "x", "storageUri": "m"}}},
            "spec.predictor.model.image needs a container, and none can run on this machine",
            id="an image",
        ),
        pytest.param(
            {"predictor": {"model": {"storage": {"key": "x"}}}},
            "spec.predictor.model.storage is in a remote storage, and those are not there yet; expected storageUri "
            "with a path of this machine",
            id="storage",
        ),
        pytest.param(
            {"predictor": {"model": {"modelFormat": {"name": "sklearn"}}}},
            "spec.predictor.model.storageUri is missing, expected a path of this machine",
            id="no place",
        ),
        pytest.param({"predictor": {}}, "spec.predictor.model is missing, expected the model to serve", id="no model"),
        pytest.param(
            {"predictor": {"model": {"storageUri": "m"}}, "transformer": {}},
            "spec.transformer cannot run on this machine yet, expected a predictor alone",
            id="a transformer",
        ),
    ],
)
def test_what_cannot_run_here(stage: Stage, template: dict[str, Any], message: str) -> None:
    """The field is named."""
    with pytest.raises(ModelLoadFailed) as caught:
        asyncio.run(stage.resolver.resolve("default", template))
    assert caught.value.message == message
