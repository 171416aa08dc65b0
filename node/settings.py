"""Settings of the node: one TOML file, and an environment variable for every key.

The environment wins over the file, the file over the defaults. Nothing is read but what `load_settings` is given, and
the result is frozen. `docs/SETTINGS.md` is written from these classes by `node.settings_table`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from node.settings_sources import ENVIRONMENT_PREFIX, NESTED_DELIMITER, load_model, masked_url
from node.settings_types import (
    AETitle,
    BrokerUrl,
    DatabaseUrl,
    Device,
    Host,
    LocalPath,
    PeerHost,
    Port,
    Results,
    Views,
    distinct,
)
from sr_templates.contract import DEFAULT_KINDS, CaptureCompression, ResultVariant, SRClass


class Section(BaseModel):
    """A table of the settings file: frozen, and without room for unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True, allow_inf_nan=False
    )


class NodeSettings(Section):
    """The receiver, and where the node keeps its state."""

    ae_title: AETitle = Field(default="MAMMONODE", description="AE title of the node, to senders and to destinations.")
    host: Host = Field(
        default="0.0.0.0",
        description="Address to listen on; 0.0.0.0 is every interface. While no [[source]] is listed and this key is "
        "absent, the node listens on 127.0.0.1.",
    )
    port: Port = Field(default=11112, description="TCP port to listen on.")
    state_dir: LocalPath = Field(
        default=Path("~/.local/share/mammonode"),
        description="Folder of the spool, the ledger, the embedded broker and the outbox; ~ is the home directory. "
        "The default follows XDG_DATA_HOME.",
    )
    max_associations: int = Field(
        default=64, ge=1, le=1024, description="Associations served at once; more are refused."
    )
    max_pdu_bytes: int = Field(
        default=131072, ge=4096, le=4194304, description="Largest PDU that the receiver offers to take."
    )
    network_timeout_s: float = Field(
        default=60, gt=0, le=3600, description="Silence after which an association is aborted."
    )


class CompletionSettings(Section):
    """When a study is complete."""

    settle_s: float = Field(
        default=2, ge=0, le=3600, description="Wait after the last image once all required views came."
    )
    quiet_s: float = Field(default=30, gt=0, le=86400, description="Wait after the last image while a view is missing.")
    required_views: Views = Field(
        default=("L-CC", "L-MLO", "R-CC", "R-MLO"),
        description="Views that make a mammogram complete: L or R, hyphen, view.",
    )


class BrokerSettings(Section):
    """The queue's transport."""

    url: BrokerUrl | None = Field(
        default=None, repr=False, description="Redis URL; absent: the embedded, file-backed broker."
    )


class DatabaseSettings(Section):
    """The ledger's database."""

    url: DatabaseUrl | None = Field(
        default=None, repr=False, description="PostgreSQL URL; absent: SQLite in the state folder."
    )


class QueueSettings(Section):
    """Workers and their limits."""

    soft_time_limit_s: float = Field(
        default=600, gt=0, description="Time for one study before it is answered as failed."
    )
    hard_time_limit_s: float = Field(default=660, gt=0, description="Time for one study before its process is killed.")
    lease_s: float = Field(default=20, ge=1, description="A worker silent for so long is taken for dead.")
    max_deaths: int = Field(
        default=3, ge=1, le=100, description="Workers that a study may kill before it is set aside."
    )
    workers: int = Field(default=1, ge=1, le=256, description="Worker processes that serve starts.")
    device: Device = Field(default="auto", description="Where models run: auto, cpu, cuda or cuda:N.")
    poll_s: float = Field(default=0.2, gt=0, le=60, description="Pause between two looks at what is due.")
    reconcile_s: float = Field(
        default=30, gt=0, description="Age at which a queued study's message is published again."
    )

    @model_validator(mode="after")
    def _hard_above_soft(self) -> QueueSettings:
        if self.hard_time_limit_s <= self.soft_time_limit_s:
            raise ValueError(
                f"hard_time_limit_s ({self.hard_time_limit_s:g}) must be more than "
                f"soft_time_limit_s ({self.soft_time_limit_s:g}), or no study is ever answered as failed in time"
            )
        return self


class DeliverySettings(Section):
    """How results are sent again until a destination takes them."""

    backoff_first_s: float = Field(
        default=5, gt=0, description="Wait after the first failed delivery; doubled after each one."
    )
    backoff_max_s: float = Field(default=900, gt=0, description="Longest wait between two attempts.")
    give_up_h: float = Field(
        default=168,
        ge=72,
        description="Time after which a result that is not delivered, or not committed to, waits for a person.",
    )
    timeout_s: float = Field(default=30, gt=0, le=3600, description="Wait for a destination to connect and to answer.")
    commitment_timeout_s: float = Field(
        default=3600,
        gt=0,
        le=604800,
        description="Wait for a destination to say that it has committed; after that it is asked again, and gets twice "
        "as long, up to a day.",
    )

    @model_validator(mode="after")
    def _longest_not_below_first(self) -> DeliverySettings:
        if self.backoff_max_s < self.backoff_first_s:
            raise ValueError("backoff_max_s must be at least backoff_first_s")
        return self


class TLSSettings(Section):
    """Certificates: mutual TLS at the receiver, and towards destinations with tls = true."""

    enabled: bool = Field(
        default=False, description="The receiver takes TLS only, and only from peers that ca vouches for."
    )
    certificate: LocalPath | None = Field(default=None, description="The node's certificate chain, PEM.")
    private_key: LocalPath | None = Field(
        default=None, description="The certificate's private key, PEM, without a passphrase."
    )
    ca: LocalPath | None = Field(default=None, description="Authorities whose certificates are believed, PEM.")

    @model_validator(mode="after")
    def _files_that_belong_together(self) -> TLSSettings:
        if self.enabled and not (self.certificate and self.private_key and self.ca):
            raise ValueError("enabled = true needs certificate, private_key and ca")
        if bool(self.certificate) != bool(self.private_key):
            raise ValueError("certificate and private_key are given together or not at all")
        return self


class ModelsSettings(Section):
    """Models and their operating point."""

    weights_dir: LocalPath | None = Field(
        default=None, description="Folder of installed weights; absent: beside each model."
    )
    min_score: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Score from which a finding is reported; absent: each model's operating point.",
    )


class SourceSettings(Section):
    """A sender that is let in; without any, only loopback is."""

    ae_title: AETitle = Field(description="Calling AE title of the sender.")
    host: PeerHost = Field(description="Its IP address, its network (10.1.0.0/16), or its name.")
    settle_s: float | None = Field(
        default=None, ge=0, le=3600, description="In place of completion.settle_s for this sender."
    )
    quiet_s: float | None = Field(
        default=None, gt=0, le=86400, description="In place of completion.quiet_s for this sender."
    )
    required_views: Views | None = Field(
        default=None, description="In place of completion.required_views for this sender."
    )

    @property
    def network(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
        """The addresses that `host` stands for, or None when it is a name that must be resolved."""
        try:
            return ipaddress.ip_network(self.host)
        except ValueError:
            return None


class DestinationSettings(Section):
    """A PACS or viewer that gets results."""

    name: str = Field(
        min_length=1, max_length=64, description="Unique name, in logs and in the ledger; keep it for good."
    )
    ae_title: AETitle = Field(description="AE title that is called.")
    host: Host = Field(description="IP address or name.")
    port: Port = Field(description="TCP port.")
    tls: bool = Field(default=False, description="Send over TLS, with the files of [tls].")
    results: Results = Field(default=DEFAULT_KINDS, description="Result objects that it gets.")
    sr_class: SRClass = Field(
        default="comprehensive_3d",
        description="SOP class of measurement_sr: Comprehensive 3D SR, or Comprehensive SR for an older PACS.",
    )
    capture_max_px: int = Field(
        default=2048, ge=512, le=4096, description="Longest side of a heatmap or summary, in pixels."
    )
    capture_compression: CaptureCompression = Field(
        default="none",
        description="Of heatmap and summary: none (lossless), or jpeg_baseline; a destination that refuses JPEG gets "
        "them uncompressed.",
    )
    commitment: bool = Field(
        default=False,
        description="Ask for storage commitment after delivery, and send again what it does not commit to. It answers "
        "to node.port.",
    )
    commitment_ae_title: AETitle | None = Field(
        default=None, description="AE title under which it reports on commitment; absent: ae_title."
    )
    commitment_host: PeerHost | None = Field(
        default=None,
        description="IP address, network (10.1.0.0/16) or name from which it reports on commitment; absent: host. For "
        "a cluster, or behind address translation.",
    )

    @property
    def reporter(self) -> SourceSettings:
        """The AE title and address from which it reports on commitment."""
        return SourceSettings(
            ae_title=self.commitment_ae_title or self.ae_title, host=self.commitment_host or self.host
        )

    @property
    def variants(self) -> frozenset[ResultVariant]:
        """The result objects that it gets, each in the form that it wants."""
        return frozenset(
            ResultVariant(
                kind=kind,
                sr_class=self.sr_class,
                max_side_px=self.capture_max_px,
                compression=self.capture_compression,
            )
            for kind in self.results
        )


class RetentionSettings(Section):
    """Disk space."""

    min_free_gb: float = Field(
        default=5,
        ge=0,
        description="Free space in the state folder, in 10^9 bytes, below which images are refused (0xA700).",
    )
    keep_days: float = Field(default=14, ge=0, description="Age at which files of a fully delivered study are deleted.")
    keep_undelivered_days: float = Field(
        default=90,
        ge=7,
        description="Age at which files of a study are deleted although a result was refused, given up or has no "
        "destination any more, or the study is quarantined.",
    )

    @property
    def min_free_bytes(self) -> int:
        """`min_free_gb` in bytes."""
        return int(self.min_free_gb * 10**9)


class Settings(BaseSettings):
    """Everything that can be set; see `load_settings`."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter=NESTED_DELIMITER,
        env_ignore_empty=True,
    )

    node: NodeSettings = NodeSettings()
    completion: CompletionSettings = CompletionSettings()
    broker: BrokerSettings = BrokerSettings()
    database: DatabaseSettings = DatabaseSettings()
    queue: QueueSettings = QueueSettings()
    delivery: DeliverySettings = DeliverySettings()
    tls: TLSSettings = TLSSettings()
    models: ModelsSettings = ModelsSettings()
    source: tuple[SourceSettings, ...] = ()
    destination: tuple[DestinationSettings, ...] = ()
    retention: RetentionSettings = RetentionSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only arguments: the environment comes in through `load_settings`, never behind a test's back."""
        return (init_settings,)

    @model_validator(mode="before")
    @classmethod
    def _loopback_until_a_source_is_listed(cls, data: dict[str, Any]) -> dict[str, Any]:
        node = data.get("node", {})
        if not data.get("source") and isinstance(node, dict) and "host" not in node:
            return {**data, "node": {**node, "host": "127.0.0.1"}}
        return data

    @model_validator(mode="after")
    def _destination_names_are_unique(self) -> Settings:
        try:
            distinct(tuple(destination.name for destination in self.destination))
        except ValueError as error:
            raise ValueError(f"every [[destination]] needs a name of its own; {error}") from error
        return self

    @property
    def spool_dir(self) -> Path:
        """Received instances."""
        return self.node.state_dir / "spool"

    @property
    def outbox_dir(self) -> Path:
        """Encoded results that wait for delivery, or were delivered lately."""
        return self.node.state_dir / "outbox"

    @property
    def broker_dir(self) -> Path:
        """Messages of the embedded broker."""
        return self.node.state_dir / "broker"

    @property
    def ledger_path(self) -> Path:
        """The SQLite ledger, in use while `database.url` is absent."""
        return self.node.state_dir / "ledger.sqlite3"

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL of the ledger, password included: never log it, log `masked_url` of it."""
        if self.database.url is None:
            return f"sqlite:///{self.ledger_path}"
        scheme, _, rest = self.database.url.partition("://")
        return f"{'postgresql+psycopg' if scheme in ('postgres', 'postgresql') else scheme}://{rest}"

    def echo(self) -> dict[str, Any]:
        """All values as JSON-ready data for display, with the passwords in URLs masked."""
        values: dict[str, Any] = self.model_dump(mode="json")
        for section in ("broker", "database"):
            if values[section]["url"] is not None:
                values[section]["url"] = masked_url(values[section]["url"])
        return values


def load_settings(config: Path | None, environ: Mapping[str, str]) -> Settings:
    """Read the settings from a TOML file and the environment.

    Parameters
    ----------
    config : pathlib.Path or None
        The settings file; None when everything comes from the environment and the defaults.
    environ : mapping of str to str
        Usually `os.environ`. ``MAMMONODE_NODE__PORT=11113`` stands for ``port`` in ``[node]``; lists are JSON; an empty
        variable counts as not set.

    Returns
    -------
    Settings
        Frozen.

    Raises
    ------
    node.errors.SettingsInvalid
        With one line for every problem: the key, what was given, what is allowed.
    """
    data_home = environ.get("XDG_DATA_HOME")
    fallback = {"node": {"state_dir": str(Path(data_home) / "mammonode")}} if data_home else {}
    return load_model(Settings, config, environ, fallback)
