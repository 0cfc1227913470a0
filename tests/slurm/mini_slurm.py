"""A Slurm cluster of several nodes on one machine, for the lifetime of this process.

It runs in Linux namespaces of its own: processes, network, mounts. Each node has its own host name,
address and ports, so `localhost` is another host on each. Nothing outlives the first process in the
namespaces, which the kernel kills together with the process that started it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

SPACES = ["--net", "--uts", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc"]
BRIDGE, LOGIN = "cluster", "10.77.0.1"

CONFIG = """\
ClusterName=mini
SlurmctldHost=login({login})
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# Slurm holds requeued jobs until their credential expires, by default for 120 s.
AuthInfo=socket={folder}/munge.sock,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=1,batch_sched_delay=0,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SlurmctldParameters=preempt_send_user_signal
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
ReturnToService=2
KillWait=5
MinJobAge=86400
MessageTimeout=10
SlurmdTimeout=8
SlurmctldTimeout=10
InactiveLimit=0
GresTypes=gpu
DefMemPerCPU=100
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=10
PartitionName=low Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=60
"""


class NoSlurmError(Exception):
    """A Slurm cannot run on this machine; the text names what is missing."""


class MiniSlurm:
    """A running cluster: `with MiniSlurm(folder) as slurm`."""

    def __init__(self, folder: Path, nodes: int = 3, gpus: int = 8) -> None:
        self.folder = folder
        self.nodes = [f"node{number}" for number in range(1, nodes + 1)]
        self._gpus = gpus
        self.config = folder / "slurm.conf"
        self._root: subprocess.Popen[bytes] | None = None
        self._into: list[str] = []
        self._environment = {**os.environ, "SLURM_CONF": str(self.config)}

    def __enter__(self) -> MiniSlurm:
        for name in ("munged", "slurmctld", "slurmd", "srun", "ip", "unshare", "setpriv"):
            if shutil.which(name) is None and not Path("/usr/sbin", name).exists():
                raise NoSlurmError(f"no {name}: make setup-slurm installs it where apt can")
        try:
            self._make_spaces()
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._root is not None:
            self._root.kill()
            self._root.wait()

    def run(self, *words: str | Path, check: bool = True) -> str:
        """Return the output of a command run on the login node."""
        done = self.attempt(*words)
        if check and done.returncode != 0:
            raise AssertionError(f"{words}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def attempt(
        self, *words: str | Path, cwd: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Return the result of a command run on the login node, whatever its exit code."""
        return subprocess.run(
            [*self._into, "env", f"--chdir={cwd or self.folder}", *map(str, words)],
            env={**self._environment, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def start(self, *words: str) -> None:
        """Start a program on the login node that runs as long as the cluster."""
        with (self.folder / f"{words[0]}.out").open("ab") as out:
            subprocess.Popen(
                [*self._into, *words],
                env={**self._environment, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def until(self, fact: Callable[[], object], what: str, seconds: float = 60) -> None:
        """Wait until a condition holds."""
        ends_by = time.monotonic() + seconds
        while not fact():
            if time.monotonic() > ends_by:
                raise AssertionError(f"not within {seconds} s: {what}\n{self.run('squeue')}")
            time.sleep(0.1)

    def job(self, job: str) -> dict[str, str]:
        """Return the controller's record of a job, or of one task of an array."""
        said = self.run("scontrol", "show", "job", "--oneliner", job).splitlines()[0]
        return dict(word.split("=", 1) for word in said.split() if "=" in word)

    def power_off(self, node: str) -> None:
        """Cut a node's network, then kill its processes, so that none of them can sign off."""
        self.run("ip", "link", "set", node, "down")
        pids = self.run("ip", "netns", "pids", node).split()
        self.run("kill", "-9", *pids)

    def power_on(self, node: str) -> None:
        """Start a node, and wait until Slurm may use it."""
        self.run("ip", "link", "set", node, "up")
        words = ["unshare", "--uts", "sh", "-c", 'hostname "$1"; shift; exec "$@"', "node", node]
        self.start("nsenter", f"--net=/run/netns/{node}", *words, "slurmd", "-D", "-N", node)
        self.until(lambda: self._is_up(node), f"{node} is up")

    def _is_up(self, node: str) -> bool:
        state = self.run("sinfo", "--noheader", "-n", node, "-p", "main", "-o", "%t", check=False)
        return state.strip() in ("idle", "mix", "alloc")

    def _make_spaces(self) -> None:
        """Create the namespaces, and in them network, host names and mounts."""
        self.folder.mkdir(parents=True, exist_ok=True)
        own = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
        # The shell reports that the namespaces exist, then reaps processes that lose their parent.
        script = "hostname login && echo up && sleep inf & wait"
        words = ["unshare", *own, *SPACES, "bash", "-c", script]
        self._root = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._root.stdout is not None
        if self._root.stdout.readline() != b"up\n":
            _, said = self._root.communicate()
            raise NoSlurmError(f"no namespaces here: {said.decode().strip()}")
        children = Path(f"/proc/{self._root.pid}/task/{self._root.pid}/children")
        first = children.read_text().split()[0]
        kinds = ["--net", "--uts", "--mount", "--pid", "--ipc", *(["--user"] if own else [])]
        self._into = ["nsenter", "--target", first, *kinds, "--"]
        self._network()

    def _network(self) -> None:
        hosts = [f"{LOGIN} login", "127.0.0.1 localhost"]
        hosts += [f"{self._address(node)} {node}" for node in self.nodes]
        (self.folder / "hosts").write_text("\n".join(hosts) + "\n")
        # Otherwise every connection between ranks waits for a name server that does not exist.
        (self.folder / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files\n")
        lines = [
            f"mount --bind {self.folder}/hosts /etc/hosts",
            f"mount --bind {self.folder}/nsswitch.conf /etc/nsswitch.conf",
            "mkdir -p /run/netns && mount -t tmpfs none /run/netns",
            "ip link set lo up",
            f"ip link add {BRIDGE} type bridge",
            f"ip addr add {LOGIN}/24 dev {BRIDGE}",
            f"ip link set {BRIDGE} up",
        ]
        for node in self.nodes:
            lines += [
                f"ip netns add {node}",
                f"ip link add {node} type veth peer name eth0 netns {node}",
                f"ip link set {node} master {BRIDGE}",
                f"ip -n {node} link set lo up",
                f"ip -n {node} addr add {self._address(node)}/24 dev eth0",
                f"ip -n {node} link set eth0 up",
            ]
        self.run("sh", "-ec", "\n".join(lines))

    def _address(self, node: str) -> str:
        return f"10.77.0.{10 + self.nodes.index(node)}"

    def _start(self) -> None:
        for name in ("state", "gpu", *(f"spool-{node}" for node in self.nodes)):
            (self.folder / name).mkdir(exist_ok=True)
        for number in range(self._gpus):
            # Slurm requires a device file and never opens it.
            (self.folder / "gpu" / f"nvidia{number}").symlink_to("/dev/null")
        what = f"CPUs=64 RealMemory=500000 Gres=gpu:{self._gpus} State=UNKNOWN"
        nodes = [f"NodeName={node} NodeAddr={self._address(node)} {what}" for node in self.nodes]
        text = CONFIG.format(login=LOGIN, folder=self.folder) + "\n".join(nodes) + "\n"
        self.config.write_text(text)
        gres = f"Name=gpu File={self.folder}/gpu/nvidia[0-{self._gpus - 1}]\n"
        (self.folder / "gres.conf").write_text(gres)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        self.folder.chmod(0o755)
        self.start("munged", "--foreground", "--force", *self._munge_files())
        self.until((self.folder / "munge.sock").exists, "munged is up")
        self.start("slurmctld", "-D", "-i", "-f", str(self.config))
        self.until(lambda: "UP" in self.run("scontrol", "ping", check=False), "slurmctld is up")
        for node in self.nodes:
            self.power_on(node)

    def _munge_files(self) -> Sequence[str]:
        names = {"key": "key", "socket": "sock", "pid": "pid", "log": "log", "seed": "seed"}
        return [
            f"--{name}{'' if name == 'socket' else '-file'}={self.folder}/munge.{suffix}"
            for name, suffix in names.items()
        ]
