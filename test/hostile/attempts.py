#!/usr/bin/python3
"""Attempts to get out of a box, or to harm the machine from within. One of them runs as a stage; the same code runs outside of any
box as the control, on targets that the test made.

Each says, a line for a thing tried, `GOT what` or `NOT what: why`. It opens rather than writes: one that succeeds does no harm.
"""
import array
import ctypes
import errno
import json
import mmap
import os
import resource
import signal
import socket
import struct
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_SHARED, MNT_DETACH = 1, 32, 4096, 16384, 1 << 20, 2
CLONE_NEWUSER = 0x10000000
TREE = "/run/osbuild/tree"


def call(function, *args):
    """A function of the C library; raises what errno says."""
    args = [a.encode() if isinstance(a, str) else a for a in args]
    result = getattr(LIBC, function)(*args)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def syscall(number, *args):
    return call("syscall", ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])


def attempt(what, work):
    try:
        work()
        print("GOT", what, flush=True)
    except OSError as error:
        print(f"NOT {what}: {errno.errorcode.get(error.errno, error.errno)}", flush=True)


def past_the_filter(what, work):
    """GOT when the kernel looked at the arguments, however it liked them."""
    def looked_at():
        try:
            work()
        except OSError as error:
            if error.errno in (errno.EPERM, errno.ENOSYS):
                raise
    attempt(what, looked_at)


def in_child(work):
    """Raises in us what `work` raised in a child of ours."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except OSError as error:
            os._exit(error.errno or 255)
        except BaseException:
            os._exit(255)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise OSError(code if code > 0 else errno.EINTR, "in a child")


def write_open(path):
    os.close(os.open(path, os.O_WRONLY | os.O_CLOEXEC))


def scratch(name):
    path = os.path.join(TARGETS.get("scratch", "/tmp"), name)
    os.makedirs(path, exist_ok=True)
    return path


def mounted(kind, name):
    place = scratch(name)
    call("mount", kind, place, kind, ctypes.c_ulong(0), None)
    return place


# --- mounts, /proc, /sys

def mount_in_the_tree():
    place = os.path.join(TARGETS.get("tree", TREE), "mounted")
    os.makedirs(place, exist_ok=True)
    if TARGETS.get("control"):
        call("mount", None, "/", None, ctypes.c_ulong(MS_REC | MS_SHARED), None)
    else:
        attempt("a shared root", lambda: call("mount", None, "/", None, ctypes.c_ulong(MS_REC | MS_SHARED), None))
    attempt("a mount", lambda: call("mount", TARGETS["marker"], place, "tmpfs", ctypes.c_ulong(0), None))
    # long enough for who looks at the host's table meanwhile
    time.sleep(TARGETS.get("pause", 0))


def open_switches():
    for path in TARGETS["paths"]:
        attempt(path, lambda: write_open(path))


def fresh_proc():
    attempt("a procfs", lambda: write_open(mounted("proc", "proc") + "/sys/kernel/core_pattern"))


def fresh_sysfs():
    attempt("a sysfs", lambda: os.listdir(mounted("sysfs", "sysfs") + "/kernel"))
    attempt("a writable /sys", lambda: call("mount", None, "/sys", None, ctypes.c_ulong(MS_REMOUNT | MS_BIND), None))


def control_groups():
    attempt("version 2", lambda: os.listdir(mounted("cgroup2", "cgroup2")))
    for place, _, files in os.walk("/sys/fs/cgroup"):
        for name in set(files) & {"release_agent"}:
            attempt("a release_agent", lambda: write_open(os.path.join(place, name)))


def binary_formats():
    """The host's handlers, and those of a file system of its own: a box's root may mount one, which is nobody else's."""
    register = TARGETS["own"]
    if TARGETS.get("control") and not os.path.exists(register):
        register = mounted("binfmt_misc", "binfmt_misc") + "/register"
    attempt("the host's handlers", lambda: write_open(register))
    if not TARGETS.get("control"):
        try:
            with open(mounted("binfmt_misc", "binfmt_misc") + "/register", "wb") as file:
                file.write(b":osbuild-hostile:M::osbuild-hostile-magic::/bin/false:F")
        except OSError as error:
            print("NOT one of its own:", errno.errorcode.get(error.errno), flush=True)


def uncover():
    """What is covered or read-only comes to light, or can be written."""
    cover, target = TARGETS.get("cover", "/proc/kcore"), TARGETS.get("read_only", "/usr")
    if TARGETS.get("control"):
        call("mount", target, target, None, ctypes.c_ulong(MS_BIND), None)
        call("mount", None, target, None, ctypes.c_ulong(MS_REMOUNT | MS_BIND | MS_RDONLY), None)
        call("mount", target, cover, None, ctypes.c_ulong(MS_BIND), None)
    attempt("uncovered", lambda: call("umount2", cover, MNT_DETACH))
    attempt("writable again", lambda: call("mount", None, target, None, ctypes.c_ulong(MS_REMOUNT | MS_BIND), None))
    # struct mount_attr: nothing is set, MOUNT_ATTR_RDONLY is cleared
    attr = struct.pack("QQQQ", 0, 1, 0, 0)
    attempt("writable by mount_setattr", lambda: syscall(442, -100, target.encode(), 0, attr, len(attr)))


def by_handle():
    """The host's root directory by the number of its inode."""
    handle = ctypes.create_string_buffer(struct.pack("Ii", 8, 1) + struct.pack("II", 2, 0) + bytes(64))
    past_the_filter("open_by_handle_at", lambda: syscall(304, os.open("/", os.O_RDONLY), handle, 0))


def new_mount_calls():
    def file_system():
        fd = syscall(430, b"proc", 0)
        syscall(431, fd, 6, None, None, 0)
        syscall(432, fd, 0, 0)
    attempt("fsmount of procfs", file_system)


# --- processes, descriptors, terminals

def first_process():
    pid = TARGETS.get("pid", 1)
    for name in ["exe", "root", "cwd"]:
        attempt(f"/proc/PID/{name}", lambda: os.readlink(f"/proc/{pid}/{name}"))
    attempt("/proc/PID/fd", lambda: os.listdir(f"/proc/{pid}/fd"))
    attempt("/proc/PID/mem", lambda: os.close(os.open(f"/proc/{pid}/mem", os.O_RDONLY)))
    attempt("pidfd_getfd", lambda: syscall(438, os.pidfd_open(pid), 0, 0))
    # PTRACE_SEIZE
    attempt("ptrace", lambda: syscall(101, 0x4206, pid, 0, 0))


def own_executable():
    attempt("its own file", lambda: write_open(TARGETS.get("executable", sys.argv[0])))


def descriptors():
    for name in sorted(os.listdir("/proc/self/fd")):
        try:
            link = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if os.path.isdir(f"/proc/self/fd/{name}") or int(name) > 2 and "/fd" not in link:
            print("GOT a descriptor", link if TARGETS.get("control") else (name, link), flush=True)
    print("NOT more descriptors: none", flush=True)


def survive():
    """A daemon that ignores what it can, keeps a descriptor of the tree and writes later."""
    tree = os.open(TARGETS.get("tree", TREE), os.O_RDONLY)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            os.dup2(os.open("/dev/null", os.O_RDWR), 1)
            os.dup2(1, 2)
            time.sleep(1.5)
            os.close(os.open("late", os.O_CREAT | os.O_WRONLY, dir_fd=tree))
            time.sleep(20)
        os._exit(0)


def stop_itself():
    print("GOT as far as that", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(600)


def signals():
    for pid in TARGETS["pids"]:
        attempt("a process of the host", lambda: os.kill(pid, 0))


def kill_all():
    print("NOT the host: we do not see it", flush=True)
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(-1, number)
        except OSError:
            pass


def terminal():
    import fcntl
    fd = os.open("/dev/null", os.O_RDWR)
    past_the_filter("TIOCSTI", lambda: fcntl.ioctl(fd, 0x5412, b"x"))
    past_the_filter("TIOCLINUX", lambda: fcntl.ioctl(fd, 0x541c, b"\x06"))


def escapes():
    print("\x1b]0;owned\x07\x1b[2J\x1b[31mGOT red", flush=True)
    sys.exit(1 if not TARGETS.get("control") else 0)


def fork_bomb():
    """Bounded from within too."""
    alive = 0
    for _ in range(TARGETS["count"]):
        try:
            if os.fork() == 0:
                time.sleep(2)
                os._exit(0)
            alive += 1
        except OSError as error:
            print(f"NOT more than so many: {errno.errorcode[error.errno]}", flush=True)
            sys.exit(1)
    print("GOT all processes", flush=True)


def memory_bomb():
    kept = [bytearray(b"x") * (1 << 20) for _ in range(TARGETS["mebibytes"])]
    print("GOT all memory", len(kept), flush=True)


def fill_memory_file_system():
    with open(os.path.join(TARGETS.get("place", "/dev/shm"), "big"), "wb") as file:
        for _ in range(TARGETS["mebibytes"]):
            file.write(bytes(1 << 20))
    print("GOT all of it", flush=True)


def inodes():
    place = TARGETS.get("place", "/tmp")
    for number in range(TARGETS["count"]):
        os.mknod(f"{place}/{number}", 0o100600)
    print("GOT all inodes", flush=True)


def size_of_memory_file_systems():
    """None may be as large as half of the memory, as the kernel makes them."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    total = 0
    for place in TARGETS.get("places", ["/", "/dev", "/dev/shm", "/run", "/tmp"]):
        there = os.statvfs(place)
        total += there.f_blocks * there.f_frsize
    print("GOT more than there is" if total > pages else "NOT more than there is: sized", flush=True)


def endless():
    line = b"x" * 1023 + b"\n"
    for _ in range(TARGETS["mebibytes"] * 16):
        os.write(1, line * 64)
    print("GOT it all out", flush=True)


# --- devices, interfaces of the kernel

def nodes():
    for place in TARGETS.get("places", ["/dev", TREE, "/var", "/tmp"]):
        path = os.path.join(place, "disk")

        def make():
            os.mknod(path, 0o60600, os.makedev(254, 0))
            os.unlink(path)
        attempt(f"a device in {'a directory' if TARGETS.get('control') else place}", make)


def loop_devices():
    attempt("loop-control", lambda: os.close(os.open("/dev/loop-control", os.O_RDWR)))


def keyrings():
    past_the_filter("add_key", lambda: syscall(248, b"user", b"osbuild-hostile", None, 0, 0))
    past_the_filter("request_key", lambda: syscall(249, None, None, None, 0))
    for keyring in (-1, -3, -4):
        past_the_filter(f"keyring {keyring}", lambda: syscall(250, 0, keyring, 0))


# numbers of x86-64, with arguments that the kernel refuses
CALLS = {
    "init_module": (175, 0, 0, 0), "finit_module": (313, -1, 0, 0), "delete_module": (176, 0, 0),
    "kexec_load": (246, 0, 0, 0, 0xffff), "kexec_file_load": (320, -1, -1, 0, 0, 0xffff), "reboot": (169, 0, 0, 0, 0),
    "syslog": (103, -1, 0, 0), "acct": (163, 1), "iopl": (172, 99), "settimeofday": (164, 1, 0),
    "clock_settime": (227, 99, 0), "adjtimex": (159, 0), "swapon": (167, 1, 0), "swapoff": (168, 1),
    "quotactl": (179, 0, 1, 0, 0), "bpf": (321, 9999, 0, 0), "perf_event_open": (298, 0, 0, -1, -1, 0),
    "userfaultfd": (323, -1), "io_uring_setup": (425, 0, 0), "fanotify_init": (300, -1, 0), "kcmp": (312, -1, -1, 0, 0, 0),
}


def calls():
    for name, arguments in CALLS.items():
        past_the_filter(name, lambda: in_child(lambda: syscall(*arguments)))


def user_namespaces():
    attempt("unshare", lambda: in_child(lambda: call("unshare", CLONE_NEWUSER)))

    def clone():
        pid = syscall(56, CLONE_NEWUSER | signal.SIGCHLD, 0, 0, 0, 0)
        if pid == 0:
            os._exit(0)
    attempt("clone", clone)
    past_the_filter("clone3", lambda: in_child(lambda: syscall(435, 0, 0)))


def sockets():
    def vsock():
        socket.socket(40, socket.SOCK_STREAM).close()
    attempt("vsock", vsock)
    attempt("packets", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close())

    def connect(family, address):
        with socket.socket(family, socket.SOCK_STREAM) as there:
            there.settimeout(5)
            there.connect(address)
    attempt("a listener on the host's loopback", lambda: connect(socket.AF_INET, ("127.0.0.1", TARGETS["port"])))
    attempt("an abstract socket", lambda: connect(socket.AF_UNIX, "\0" + TARGETS["abstract"]))


def shared_memory():
    attempt("a segment of the host's", lambda: call("shmget", TARGETS["key"], 0, 0))


def make_shared_memory():
    """For the test: a segment that attempts look for, until our stdin ends."""
    number = call("shmget", TARGETS["key"], 4096, 0o1666)
    print("made", flush=True)
    sys.stdin.read()
    call("shmctl", number, 0, None)


# --- the tree

def links():
    """Hard links to what is outside."""
    for index, path in enumerate(TARGETS.get("paths", ["/usr/bin/env", "/etc/ld.so.cache", "/run/osbuild/bin/" + NAME])):
        attempt(path, lambda: os.link(path, os.path.join(TARGETS.get("tree", TREE), f"link{index}")))


def write_read_only():
    """A tree that is lent, the build root, our modules: by opening, by a mapping, by a remount."""
    for path in TARGETS.get("paths", ["/usr/bin/env", "/run/osbuild/inputs/tree/file"]):
        attempt(f"open {path}", lambda: write_open(path))

        def mapped():
            with open(path, "rb") as file:
                fd = os.open(f"/proc/self/fd/{file.fileno()}", os.O_RDWR)
                mmap.mmap(fd, 1, mmap.MAP_SHARED, mmap.PROT_WRITE)
        attempt(f"map {path}", mapped)
        attempt(f"truncate {path}", lambda: os.truncate(path, os.stat(path).st_size))


def odd_things():
    """What a walk of the tree must not block at, or stumble over."""
    tree = TARGETS.get("tree", TREE)
    os.mkfifo(tree + "/fifo")
    server = socket.socket(socket.AF_UNIX)
    server.bind(tree + "/socket")
    for name in [b"n" * 255, b"not\xffutf8", b"new\nline", b"\x1b[31m", b" ", b"..."]:
        os.close(os.open(tree.encode() + b"/" + name, os.O_CREAT | os.O_WRONLY))
    with open(tree + "/sparse", "wb") as file:
        file.truncate(TARGETS["sparse"])
    place = os.open(tree, os.O_RDONLY)
    for _ in range(TARGETS["deep"]):
        os.mkdir("d" * 8, dir_fd=place)
        below = os.open("d" * 8, os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = below
    os.setxattr(tree + "/sparse", "user.big", b"x" * 3000)
    print("GOT a strange tree", flush=True)


def overlay_attributes():
    tree = TARGETS.get("tree", TREE)
    os.makedirs(tree + "/dir", exist_ok=True)
    for name in ["trusted.overlay.redirect", "trusted.overlay.opaque"]:
        attempt(name, lambda: os.setxattr(tree + "/dir", name, b"/outside"))


def malformed():
    """Packets that no client of ours would send."""
    for name in TARGETS["sockets"]:
        for packet in [b"", b"\0" * 10, b"[" * 100_000, b'{"type": 7}', b'{"type":"method-call","data":{"method":"x"}}', b"\xff" * 60_000]:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as there:
                there.settimeout(5)
                try:
                    there.connect(name)
                    files = [os.open("/dev/null", os.O_RDONLY) for _ in range(200)]
                    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))]
                    there.sendmsg([packet or b"x"], rights)
                except OSError as error:
                    print("NOT sent:", errno.errorcode.get(error.errno, error.errno))
                else:
                    print("GOT it sent", flush=True)
                finally:
                    for fd in files:
                        os.close(fd)


def environment():
    for name, value in sorted(os.environ.items()):
        if TARGETS["secret"] in value:
            print("GOT the secret in", name)
    print("NOT more: that is the environment", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        NAME, TARGETS = sys.argv[1], json.loads(sys.argv[2]) | {"control": True}
    else:
        OPTIONS = json.load(sys.stdin)["options"]
        NAME, TARGETS = OPTIONS["attempt"], OPTIONS.get("targets", {})
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    globals()[NAME]()
