"""The topic of one training run: its name, its settings, and that nothing of it is left."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mlsql_runtime.errors import InputError
from mlsql_runtime.events import log
from mlsql_runtime.kafka.clients import open_admin
from mlsql_runtime.kafka.groups import delete_groups
from mlsql_runtime.kafka.settings import KafkaSettings
from mlsql_runtime.kafka.topics import create_topic, delete_topics, topics_with_prefix
from mlsql_runtime.plan import KafkaFeed, Secrets

MAX_PARTITIONS = 12  # as a default; more do not make one broker faster
MAX_BYTES = "max.message.bytes"
_CONFIGS = {
    "cleanup.policy": "delete",
    "retention.ms": str(24 * 3600 * 1000),  # should nobody be left to delete the topic
    MAX_BYTES: str(8 << 20),
}


@dataclass(frozen=True)
class Owner:
    """The training that topics and groups belong to; retries of a job are the same one. ``groups`` is how many read."""

    job_id: str
    model_path: str
    groups: int

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self.job_id}\n{self.model_path}".encode()).hexdigest()[:12]


@dataclass(frozen=True)
class RunTopic:
    """``run`` names the run in every record; readers' groups are named ``<group>_<algIndex>``."""

    name: str
    run: str
    group: str
    partitions: int
    max_bytes: int


def settings_of(feed: KafkaFeed, private: Secrets) -> KafkaSettings:
    """The client's settings: the plan's, and those in the job's secrets."""
    if feed.secrets is None:
        return KafkaSettings(feed.settings)
    if feed.secrets not in private.kafka:
        raise InputError(f"the job has no secrets of the Kafka connection '{feed.secrets}'; submit the plan with them")
    return KafkaSettings({**feed.settings, **private.kafka[feed.secrets]})


def check_topic(feed: KafkaFeed, settings: KafkaSettings, owner: Owner) -> None:
    """Have the brokers check whether the topic could be created, and create nothing."""
    with open_admin(settings) as admin:
        create_topic(
            admin,
            settings,
            _prefix(feed, owner) + "check",
            partitions=feed.partitions or 1,
            replication_factor=feed.replication_factor or -1,
            configs=_configs(feed),
            validate_only=True,
        )


@contextmanager
def run_topic(feed: KafkaFeed, settings: KafkaSettings, owner: Owner, parallelism: int) -> Iterator[RunTopic]:
    """Create the run's topic; delete it, unless ``feed.keep``, and the groups of its readers at the end."""
    try_to_remove_run(feed, settings, owner)  # of an attempt that nobody could clean up after
    configs = _configs(feed)
    run = secrets.token_hex(4)
    topic = RunTopic(
        name=_prefix(feed, owner) + run,
        run=run,
        group=group_of(feed, owner),
        partitions=feed.partitions or max(1, min(parallelism, MAX_PARTITIONS)),
        max_bytes=int(configs[MAX_BYTES]),
    )
    try:
        with open_admin(settings) as admin:
            create_topic(
                admin,
                settings,
                topic.name,
                partitions=topic.partitions,
                replication_factor=feed.replication_factor or -1,
                configs=configs,
            )
        if feed.keep:
            log(f"kafka: topic {topic.name} will be kept")
        yield topic
    finally:
        try_to_remove_run(feed, settings, owner)


def group_of(feed: KafkaFeed, owner: Owner) -> str:
    """What the names of the readers' groups begin with."""
    return f"{feed.group or feed.topic}_{owner.digest}"


def try_to_remove_run(feed: KafkaFeed, settings: KafkaSettings, owner: Owner) -> None:
    """:func:`remove_run`; that it fails is told, and is no reason to lose a model."""
    try:
        remove_run(feed, settings, owner)
    except Exception as error:  # of kafka-python, too
        log(f"kafka: topics and groups with {owner.digest} in their names may be left, remove them by hand: {error}")


def remove_run(feed: KafkaFeed, settings: KafkaSettings, owner: Owner) -> None:
    """Delete every topic that this job made for the feed and shall not keep, and the groups of its readers."""
    group = group_of(feed, owner)
    with open_admin(settings) as admin:
        if not feed.reuse and not feed.keep:
            delete_topics(admin, settings, topics_with_prefix(admin, settings, _prefix(feed, owner)))
        delete_groups(admin, settings, [f"{group}_{index}" for index in range(owner.groups)])


def _prefix(feed: KafkaFeed, owner: Owner) -> str:
    return f"{feed.topic}_{owner.digest}-"


def _configs(feed: KafkaFeed) -> dict[str, str]:
    return {**_CONFIGS, **feed.topic_configs}
