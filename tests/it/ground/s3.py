"""An S3 server for tests: Ceph's object gateway on a cluster of one.

One monitor, one object store daemon and one gateway on 127.0.0.1, without
systemd and without cephx, all in one directory.  The store lies in memory
(memstore), or in a file that survives a kill (bluestore).
"""

from __future__ import annotations

import base64
import json
import os
import uuid
from pathlib import Path

from .host import Daemon, free_ports, run, wait_for
from .s3client import Bucket, Credentials, S3Client

# The gateway, the monitor's two protocols, and room for the store daemon.
_PORTS = 24
_OSD_FIRST = 4

_CONF = """\
[global]
fsid = {fsid}
mon_initial_members = a
mon_host = [v2:127.0.0.1:{mon_v2},v1:127.0.0.1:{mon_v1}]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_port_min = {osd_first}
ms_bind_port_max = {osd_last}
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
auth_allow_insecure_global_id_reclaim = false
ms_cluster_mode = crc
ms_service_mode = crc
ms_client_mode = crc
ms_mon_cluster_mode = crc
ms_mon_service_mode = crc
ms_mon_client_mode = crc
run_dir = {home}/run
admin_socket = {home}/run/$name.asok
pid_file = {home}/run/$name.cephpid
log_file = {home}/log/$name.log
crash_dir = {home}/crash
mon_data = {home}/mon
osd_data = {home}/osd
rgw_data = {home}/rgw
mon_cluster_log_file = {home}/log/cluster.log
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_pg_warn_min_per_osd = 0
mon_max_pg_per_osd = 1000
mon_data_avail_crit = 1
mon_data_avail_warn = 2
mon_tick_interval = 1
paxos_propose_interval = 0.05
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 2
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
osd_objectstore = {store}
osd_class_dir = {classes}
osd_fast_shutdown = true
osd_memory_target = 1G
bluestore_block_create = true
bluestore_block_size = 21474836480
bluestore_fsck_on_mount = false
memstore_device_bytes = 4294967296
osd_max_object_name_len = 1024
osd_max_object_namespace_len = 64
[client.rgw]
rgw_frontends = beast endpoint=127.0.0.1:{port}
rgw_dns_name = localhost
rgw_crypt_require_ssl = false
rgw_crypt_s3_kms_backend = testing
rgw_crypt_s3_kms_encryption_keys = {kms_key}={kms_secret}
rgw_enable_usage_log = false
rgw_enable_ops_log = false
rgw_thread_pool_size = 64
rgw_run_sync_thread = false
{sts}rgw_user_default_quota_max_size = -1
"""


def _class_dir() -> Path:
    """Debian 13's default for it is relative to the working directory."""
    return next(Path("/usr/lib").glob("*/rados-classes"))


# With it a wrong secret is AccessDenied, as on no other server.
_STS = """rgw_s3_auth_use_sts = true
rgw_sts_key = sixteen-byte-key
"""


class Gateway:
    """A running gateway; home must be short, for the daemons' sockets."""

    credentials = Credentials("testkey", "testsecret")
    region = "us-east-1"
    storage_class = "STANDARD_IA"  # beside STANDARD
    kms_key = "testkey"

    def __init__(
        self, home: Path, *, store: str = "memstore", sts: bool = False
    ) -> None:
        self.home = home
        first = free_ports(_PORTS)
        self.port, self._mon_v2, self._mon_v1 = first, first + 1, first + 2
        self._conf = home / "ceph.conf"
        self._daemons: dict[str, Daemon] = {}
        for name in ("run", "log", "crash", "mon", "osd", "rgw"):
            (home / name).mkdir(parents=True, exist_ok=True)
        self._fsid = str(uuid.uuid4())
        self._conf.write_text(
            _CONF.format(
                fsid=self._fsid,
                home=home,
                store=store,
                classes=_class_dir(),
                port=self.port,
                sts=_STS if sts else "",
                kms_key=self.kms_key,
                kms_secret=base64.b64encode(os.urandom(32)).decode(),
                mon_v1=self._mon_v1,
                mon_v2=self._mon_v2,
                osd_first=first + _OSD_FIRST,
                osd_last=first + _PORTS - 1,
            ),
            encoding="ascii",
        )
        try:
            self._create()
        except BaseException:
            self.stop()
            raise

    # --- life cycle ---------------------------------------------------------

    def _tool(self, *args: str, bare: bool = False) -> str:
        env = {"CEPH_CONF": str(self._conf)}
        if bare:
            env["CEPH_ARGS"] = "--no-mon-config"
        return run(args, env=env).check().out

    def _create(self) -> None:
        conf, monmap = str(self._conf), str(self.home / "monmap")
        address = f"[v2:127.0.0.1:{self._mon_v2},v1:127.0.0.1:{self._mon_v1}]"
        self._tool(
            *("monmaptool", "--create", "--fsid", self._fsid),
            *("--addv", "a", address, monmap, "--clobber"),
            bare=True,
        )
        self._tool(
            *("ceph-mon", "-c", conf, "-i", "a", "--mkfs", "--monmap", monmap),
            bare=True,
        )
        self._start("mon", "ceph-mon", "-i", "a").wait_port(self._mon_v2)
        osd = str(uuid.uuid4())
        self._tool("ceph", "-c", conf, "osd", "new", osd, "0")
        self._tool("ceph-osd", "-c", conf, "-i", "0", "--mkfs", "--osd-uuid", osd)
        self._start_osd()
        self._admin(
            *("user", "create", "--uid=test", "--display-name=test"),
            f"--access-key={self.credentials.access_key}",
            f"--secret-key={self.credentials.secret_key}",
            "--max-buckets=0",
        )
        self._add_storage_class()
        self.start_gateway()

    def _start(self, name: str, program: str, *args: str) -> Daemon:
        daemon = Daemon(
            [program, "-f", "-c", self._conf, *args], self.home / f"{name}.log"
        )
        self._daemons[name] = daemon
        return daemon

    def _start_osd(self) -> None:
        self._start("osd", "ceph-osd", "-i", "0")

        def up() -> bool:
            conf = str(self._conf)
            told = self._tool("ceph", "-c", conf, "osd", "stat", "-f", "json")
            return bool(json.loads(told)["num_up_osds"] == 1)

        wait_for(up, "the object store daemon is up")

    def _admin(self, *args: str) -> str:
        return self._tool(
            "radosgw-admin", "-c", str(self._conf), "-n", "client.rgw", *args
        )

    def _add_storage_class(self) -> None:
        placement = ("--placement-id", "default-placement")
        chosen = (*placement, "--storage-class", self.storage_class)
        self._admin(
            *("zonegroup", "placement", "add", "--rgw-zonegroup", "default", *chosen)
        )
        self._admin(
            *("zone", "placement", "add", "--rgw-zone", "default", *chosen),
            *("--data-pool", f"default.rgw.buckets.{self.storage_class}"),
        )

    def start_gateway(self) -> None:
        self._start("rgw", "radosgw", "-n", "client.rgw").wait_port(self.port)

    def stop_gateway(self) -> None:
        """The endpoint refuses connections; what is stored stays."""
        self._daemons.pop("rgw").stop()

    def pause_gateway(self) -> None:
        """The endpoint accepts connections and never answers."""
        self._daemons["rgw"].pause()

    def resume_gateway(self) -> None:
        self._daemons["rgw"].resume()

    def stop(self) -> None:
        for name in ("rgw", "osd", "mon"):
            if name in self._daemons:
                daemon = self._daemons.pop(name)
                daemon.resume()
                daemon.kill()

    # --- for clients --------------------------------------------------------

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, credentials: Credentials | None = None) -> S3Client:
        return S3Client("127.0.0.1", self.port, credentials or self.credentials)

    def create_bucket(self, prefix: str = "b", *, lock: bool = False) -> Bucket:
        name = f"{prefix}-{uuid.uuid4().hex[:12]}"
        headers = {"x-amz-bucket-object-lock-enabled": "true"} if lock else {}
        self.client().expect("PUT", f"/{name}", headers=headers)
        return Bucket(self.client(), name)

    def create_user(self, uid: str) -> Credentials:
        """Another account: it may touch nothing of the first one's."""
        made = Credentials(uuid.uuid4().hex[:20].upper(), uuid.uuid4().hex)
        self._admin(
            *("user", "create", f"--uid={uid}", f"--display-name={uid}"),
            f"--access-key={made.access_key}",
            f"--secret-key={made.secret_key}",
        )
        return made

    def fill(self, full: bool) -> None:
        """Full, the store takes no more bytes: whoever writes waits."""
        ratios = (1e-7, 2e-7, 3e-7) if full else (0.85, 0.9, 0.95)
        ceph = ("ceph", "-c", str(self._conf), "osd")
        for name, ratio in zip(("nearfull", "backfillfull", "full"), ratios):
            self._tool(*ceph, f"set-{name}-ratio", f"{ratio:.7f}")

        def reached() -> bool:
            pools = json.loads(self._tool(*ceph, "dump", "-f", "json"))["pools"]
            return full == any("full" in p["flags_names"].split(",") for p in pools)

        wait_for(reached, "the store is full, or no longer")

    def limit(self, bucket: Bucket, objects: int | None) -> None:
        """A quota for one bucket; None lifts it."""
        verb = "disable" if objects is None else "enable"
        scope = ("--quota-scope=bucket", f"--bucket={bucket.name}")
        if objects is not None:
            self._admin("quota", "set", *scope, f"--max-objects={objects}")
        self._admin("quota", verb, *scope)

    def create_role(self, name: str, uid: str, bucket: str) -> str:
        """A role for a bucket that the user may assume; its ARN."""
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": [f"arn:aws:iam:::user/{uid}"]},
                    "Action": ["sts:AssumeRole"],
                }
            ],
        }
        grant = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": ["s3:*"],
                    "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
                }
            ],
        }
        made = self._admin(
            *("role", "create", f"--role-name={name}", "--path=/"),
            f"--assume-role-policy-doc={json.dumps(trust)}",
        )
        self._admin(
            *("role-policy", "put", f"--role-name={name}", "--policy-name=p"),
            f"--policy-doc={json.dumps(grant)}",
        )
        return str(json.loads(made)["Arn"])

    def delete_bucket(self, bucket: Bucket) -> None:
        """A server that still archives may store one more object meanwhile."""
        admin = ("radosgw-admin", "-c", self._conf, "-n", "client.rgw")
        remove = ("bucket", "rm", f"--bucket={bucket.name}", "--purge-objects")

        def removed() -> bool:
            return run([*admin, *remove]).status == 0

        wait_for(removed, f"the end of bucket {bucket.name}")
