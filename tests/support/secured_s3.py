"""An S3 server that checks signatures and permissions: moto in a process of its own, as its users are those of the process."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
import requests

from support.waiting import wait_until

REGION = "us-east-1"
_SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
server.start()
print("%s:%s" % server.get_host_and_port(), flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class SecuredS3:
    """The server, with the bucket ``models``. ``key`` and ``secret`` may do everything."""

    endpoint: str
    key: str
    secret: str

    def connection(self, **changes: Any) -> str:
        """Return a connection of Airflow to the server, as JSON."""
        fields = {"conn_type": "aws", "login": self.key, "password": self.secret}
        extra = {"endpoint_url": self.endpoint, "region_name": REGION}
        return json.dumps({**fields, "extra": extra, **changes})

    def add_user(self, name: str, *actions: str) -> tuple[str, str]:
        """Return the key and the secret of a new user, who may do these actions of S3."""
        return _add_user(self._client("iam"), name, *actions)

    def write(self, key: str, content: bytes) -> None:
        """Write an object of the bucket."""
        self._client("s3").put_object(Bucket="models", Key=key, Body=content)

    def read_bucket(self) -> dict[str, bytes]:
        """Return the objects of the bucket, by key."""
        client = self._client("s3")
        pages = client.get_paginator("list_objects_v2").paginate(Bucket="models")
        keys = [each["Key"] for page in pages for each in page.get("Contents", [])]
        found = {}
        for key in keys:
            with contextlib.suppress(client.exceptions.NoSuchKey):  # removed meanwhile
                found[key] = client.get_object(Bucket="models", Key=key)["Body"].read()
        return found

    def _client(self, service: str) -> Any:
        return _make_client(service, self.endpoint, self.key, self.secret)


@contextmanager
def secured_s3() -> Iterator[SecuredS3]:
    """Run a server until the block ends."""
    environment = {**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "inf"}
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            endpoint = f"http://{process.stdout.readline().strip()}"
            wait_until(lambda: requests.get(f"{endpoint}/moto-api/data.json", timeout=5).ok)
            key, secret = _add_user(_make_client("iam", endpoint, "test", "test"), "owner", "*")
            _make_client("s3", endpoint, key, secret).create_bucket(Bucket="models")
            requests.post(f"{endpoint}/moto-api/reset-auth", data="0", timeout=5).raise_for_status()
            yield SecuredS3(endpoint, key, secret)
        finally:
            process.stdin.close()
            process.kill()


def _make_client(service: str, endpoint: str, key: str, secret: str) -> Any:
    session = boto3.session.Session(aws_access_key_id=key, aws_secret_access_key=secret, region_name=REGION)
    return session.client(service, endpoint_url=endpoint)


def _add_user(iam: Any, name: str, *actions: str) -> tuple[str, str]:
    allowed = [action if action == "*" else f"s3:{action}" for action in actions]
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": allowed, "Resource": "*"}]}
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=json.dumps(policy))
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return made["AccessKeyId"], made["SecretAccessKey"]
