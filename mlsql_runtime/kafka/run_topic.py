"""The topic of one training run, and the consumer groups of its readers: create the topic, remove all of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from secrets import token_hex

from mlsql_runtime.errors import InputError
from mlsql_runtime.events import log
from mlsql_runtime.kafka.clients import open_admin
from mlsql_runtime.kafka.groups import delete_groups
from mlsql_runtime.kafka.settings import KafkaSettings
from mlsql_runtime.kafka.topics import create_topic, delete_topics, list_topics
from mlsql_runtime.plan import KafkaFeed, Secrets

MAX_PARTITIONS = 12  # of the default number; more do not make one broker faster
MAX_BYTES = "max.message.bytes"
_CONFIGS = {
    "cleanup.policy": "delete",
    "retention.ms": str(24 * 3600 * 1000),  # in case nothing is left that could delete the topic
    MAX_BYTES: str(8 << 20),
}


@dataclass(frozen=True)
class Owner:
    """The training that topics and groups belong to; all tries of a job share it. ``groups`` is the number of fit groups."""

    job_id: str
    model_path: str
    groups: int

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self.job_id}\n{self.model_path}".encode()).hexdigest()[:12]


@dataclass(frozen=True)
class RunTopic:
    """A run's topic. Every record names ``run``; the readers' groups are named ``<group>_<algIndex>``."""

    name: str
    run: str
    group: str
    partitions: int
    max_bytes: int


def client_settings(feed: KafkaFeed, secrets: Secrets) -> KafkaSettings:
    """Return the settings of the plan together with those among the job's secrets."""
    if feed.secrets is None:
        return KafkaSettings(feed.settings)
    if feed.secrets not in secrets.kafka:
        raise InputError(f"the job has no secrets of the Kafka connection '{feed.secrets}'; submit the plan with them")
    return KafkaSettings({**feed.settings, **secrets.kafka[feed.secrets]})


def check_topic(feed: KafkaFeed, settings: KafkaSettings, owner: Owner) -> None:
    """Have the brokers check whether the topic could be created, without creating it."""
    with open_admin(settings) as admin:
        create_topic(
            admin,
            _topic_prefix(feed, owner) + "check",
            partitions=feed.partitions or 1,
            replication_factor=feed.replication_factor or -1,
            configs=_configs(feed),
            validate_only=True,
        )


def create_run_topic(feed: KafkaFeed, settings: KafkaSettings, owner: Owner, parallelism: int) -> RunTopic:
    """Create the run's topic. :func:`try_to_remove_run` is to be called at the end of the run, also if this fails."""
    try_to_remove_run(feed, settings, owner)  # of an earlier try whose worker and brokers were lost
    configs = _configs(feed)
    run = token_hex(4)
    topic = RunTopic(
        name=_topic_prefix(feed, owner) + run,
        run=run,
        group=group_prefix(feed, owner),
        partitions=feed.partitions or max(1, min(parallelism, MAX_PARTITIONS)),
        max_bytes=int(configs[MAX_BYTES]),
    )
    with open_admin(settings) as admin:
        create_topic(
            admin,
            topic.name,
            partitions=topic.partitions,
            replication_factor=feed.replication_factor or -1,
            configs=configs,
        )
    if feed.keep:
        log(f"kafka: topic {topic.name} will be kept")
    return topic


def group_prefix(feed: KafkaFeed, owner: Owner) -> str:
    """Return the prefix of the names of the readers' groups."""
    return f"{feed.group or feed.topic}_{owner.digest}"


def try_to_remove_run(feed: KafkaFeed, settings: KafkaSettings, owner: Owner) -> None:
    """Do :func:`remove_run`, and log a failure instead of raising it: the model must not be lost to it."""
    try:
        remove_run(feed, settings, owner)
    except Exception as error:  # of kafka-python, too
        log(f"kafka: topics and groups with {owner.digest} in their names may be left; remove them by hand: {error}")


def remove_run(feed: KafkaFeed, settings: KafkaSettings, owner: Owner) -> None:
    """Delete every topic that this job created for the feed, unless it is kept, and the groups of its readers."""
    group = group_prefix(feed, owner)
    with open_admin(settings) as admin:
        if not feed.reuse and not feed.keep:
            delete_topics(admin, list_topics(admin, _topic_prefix(feed, owner)))
        delete_groups(admin, [f"{group}_{index}" for index in range(owner.groups)])


def _topic_prefix(feed: KafkaFeed, owner: Owner) -> str:
    return f"{feed.topic}_{owner.digest}-"


def _configs(feed: KafkaFeed) -> dict[str, str]:
    return {**_CONFIGS, **feed.topic_configs}
