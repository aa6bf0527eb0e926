"""An Apache Kafka broker on 127.0.0.1, for the demo, the tests and experiments. ``make kafka`` runs one until Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType

from daemon import Daemon, build_java_command, find_free_ports, wait_until
from jars import WORK, fetch_jars

PASSWORDS = {"admin": "admin-secret-5e1f", "guest": "guest-secret-77a0"}  # admin is allowed everything, guest nothing
STORE_PASSWORD = "not-a-secret"  # of a key that is made for this broker
CLUSTER_ID = "mlsqlmlsqlmlsqlmlsqlml"
CLASSES = WORK / "kafka.jsa"  # Kafka's classes in one file: its JVM starts in half the time
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAIN://127.0.0.1:{plain},SECURE://127.0.0.1:{secure},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAIN://127.0.0.1:{plain},SECURE://127.0.0.1:{secure}
listener.security.protocol.map=PLAIN:PLAINTEXT,SECURE:SASL_SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAIN
log.dirs={folder}/log
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
auto.create.topics.enable=false
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PKCS12
ssl.keystore.location={folder}/key.p12
ssl.keystore.password={store_password}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:admin
"""


@dataclass(frozen=True)
class Broker:
    """A running broker: the addresses of its plain listener, and of that with SASL/SCRAM-SHA-512 over TLS."""

    folder: Path
    bootstrap: str
    secure_bootstrap: str

    @property
    def cafile(self) -> Path:
        """The certificate that clients of the secure listener need."""
        return self.folder / "ca.pem"


class BrokerProcess:
    """Start and end a broker with its data in ``folder``.

    After ``kill`` and ``start`` it has the same ports and data. On the plain listener, everything is allowed.

    :param options: more options of its JVM.
    """

    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        ports = dict(zip(("plain", "secure", "controller"), find_free_ports(3), strict=True))
        self.broker = Broker(folder, f"127.0.0.1:{ports['plain']}", f"127.0.0.1:{ports['secure']}")
        self._folder = folder
        self._properties = folder / "broker.properties"
        self._daemon = Daemon(_command("kafka.Kafka", self._properties, options=options), folder / "broker.log")
        folder.mkdir(parents=True, exist_ok=True)
        self._properties.write_text(_PROPERTIES.format(folder=folder, store_password=STORE_PASSWORD, **ports))

    def __enter__(self) -> BrokerProcess:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start the broker and wait until it responds. The first start creates its certificate, users and storage."""
        if not self.broker.cafile.exists():
            self._make_certificate()
            scram = [f"SCRAM-SHA-512=[name={name},password={word}]" for name, word in PASSWORDS.items()]
            users = [part for user in scram for part in ("--add-scram", user)]
            storage = ["--standalone", "--cluster-id", CLUSTER_ID, "--config", self._properties]
            self._java("kafka.tools.StorageTool", "format", *storage, *users)
        self._daemon.start()
        try:
            wait_until(self._is_ready, "the broker", [self._daemon])
        except BaseException:
            self._daemon.stop()
            raise

    @property
    def pid(self) -> int:
        return self._daemon.pid

    def is_running(self) -> bool:
        """Return whether the process has been started and not been ended since."""
        return self._daemon.is_running()

    def kill(self) -> None:
        """End it without a chance to shut down, as a power cut does."""
        self._daemon.kill()

    def stop(self) -> None:
        self._daemon.stop()

    def _is_ready(self) -> bool:
        from kafka import KafkaAdminClient
        from kafka.errors import KafkaError

        with contextlib.suppress(OSError, KafkaError):
            socket.create_connection(("127.0.0.1", int(self.broker.bootstrap.rpartition(":")[2])), timeout=1).close()
            admin = KafkaAdminClient(bootstrap_servers=self.broker.bootstrap, bootstrap_timeout_ms=5000)
            brokers = admin.describe_cluster()["brokers"]
            admin.close()
            return bool(brokers)
        return False

    def _make_certificate(self) -> None:
        """Make a key with a certificate of its own: for the broker as PKCS #12, for clients the certificate as PEM."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import pkcs12

        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(timezone.utc)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
        hosts = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost")])
        certificate = (
            x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(hosts, critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        encryption = serialization.BestAvailableEncryption(STORE_PASSWORD.encode())
        store = pkcs12.serialize_key_and_certificates(b"broker", key, certificate, None, encryption)
        (self._folder / "key.p12").write_bytes(store)
        self.broker.cafile.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _java(self, *command: object) -> None:
        done = subprocess.run(_command(*command), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stdout}{done.stderr}")


def _command(*command: object, options: Sequence[str] = ()) -> list[str]:
    options = ("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", *options)
    return build_java_command(CLASSES, [fetch_jars("kafka") / "*"], "384m", *command, options=options)


def write_classes() -> None:
    """Write the classes of a broker to :data:`CLASSES`, when its JVM ends."""
    CLASSES.unlink(missing_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="mlsql-kafka-") as folder,
        BrokerProcess(Path(folder), [f"-XX:ArchiveClassesAtExit={CLASSES}"]),
    ):
        pass


def main() -> None:
    """Run a broker until Ctrl-C, with its data in a temporary folder."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="mlsql-kafka-") as folder, BrokerProcess(Path(folder)) as process:
        broker = process.broker
        print(f"""\
Apache Kafka runs, process {process.pid}; Ctrl-C ends it and removes its data.

  plain           {broker.bootstrap}
  SASL over TLS   {broker.secure_bootstrap}, SCRAM-SHA-512, CA certificate {broker.cafile}
                  user admin, password {PASSWORDS["admin"]}: may do everything
                  user guest, password {PASSWORDS["guest"]}: may do nothing, to see what refusals look like

As an Airflow connection, for `make airflow` in a shell where this is set:

  export AIRFLOW_CONN_MLSQL_KAFKA_DEFAULT='{{"conn_type": "mlsql_kafka", "host": "{broker.bootstrap}"}}'
""")
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
    print("ended")


if __name__ == "__main__":
    main()
