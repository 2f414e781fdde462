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
    """Version 2: leave one's group. Version 1: what the kernel runs as root when a group is empty."""
    attempt("a group of version 2", lambda: write_open(mounted("cgroup2", "cgroup2") + "/cgroup.procs"))

    def release_agent():
        place = scratch("cgroup1")
        call("mount", "cgroup", place, "cgroup", ctypes.c_ulong(0), TARGETS["controller"])
        write_open(place + "/release_agent")
    if TARGETS.get("controller"):
        attempt("a release_agent", release_agent)


def binary_formats():
    """The host's handlers: those with the test's among them. A box's root may mount a file system of its own, with handlers that
    are nobody else's."""
    place = mounted("binfmt_misc", "binfmt_misc")

    def hosts():
        if TARGETS["handler"] not in os.listdir(place):
            raise OSError(errno.EPERM, "they are not the host's")
        write_open(place + "/register")
    attempt("the host's handlers", hosts)
    if TARGETS["handler"] not in os.listdir(place):
        with open(place + "/register", "wb") as file:
            file.write(b":osbuild-hostile:M::osbuild-hostile-magic::/bin/false:F")


def handler():
    """For the test: a handler of the host's, until our stdin ends."""
    place = mounted("binfmt_misc", "binfmt_misc")
    with open(place + "/register", "wb") as file:
        file.write(f":{TARGETS['handler']}:M::osbuild-hostile-target::/bin/false:".encode())
    print("made", flush=True)
    sys.stdin.read()
    with open(f"{place}/{TARGETS['handler']}", "wb") as file:
        file.write(b"-1")


def root_of_the_host():
    """Beneath the box's root there is no other one."""
    os.chdir("/")

    def up():
        os.chroot(scratch("below"))
        for _ in range(20):
            os.chdir("..")
        os.chroot(".")
        os.listdir(TARGETS["outside"])
    attempt("what is above the root", lambda: in_child(up))

    def beneath():
        root = mounted("tmpfs", "root")
        os.mkdir(root + "/old")
        call("pivot_root", root, root + "/old")
        os.listdir("/old" + TARGETS["outside"])
    attempt("what is under the root", lambda: in_child(beneath))


def uncover():
    """What is covered or read-only comes to light, or can be written."""
    target = "/usr"
    for cover in ["/proc/kcore", "/proc/sysrq-trigger"]:
        attempt(f"{cover} uncovered", lambda: call("umount2", cover, MNT_DETACH))
    attempt("writable again", lambda: call("mount", None, target, None, ctypes.c_ulong(MS_REMOUNT | MS_BIND), None))
    # struct mount_attr: nothing is set, MOUNT_ATTR_RDONLY is cleared
    attr = struct.pack("QQQQ", 0, 1, 0, 0)
    attempt("writable by mount_setattr", lambda: syscall(442, -100, target.encode(), 0, attr, len(attr)))


def by_handle():
    """The host's root directory by the number of its inode."""
    handle = ctypes.create_string_buffer(struct.pack("Ii", 8, 1) + struct.pack("II", 2, 0) + bytes(64))
    past_the_filter("open_by_handle_at", lambda: syscall(304, os.open("/usr", os.O_RDONLY), handle, 0))


def new_mount_calls():
    def file_system():
        fd = syscall(430, b"proc", 0)
        syscall(431, fd, 6, None, None, 0)
        syscall(432, fd, 0, 0)
    attempt("fsmount of procfs", file_system)


# --- processes, descriptors, terminals

def any_descriptor(pidfd):
    """Takes a descriptor of the process, whichever numbers it has open."""
    for number in range(64):
        try:
            return syscall(438, pidfd, number, 0)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
    raise OSError(errno.EBADF, "none")


def first_process():
    pid = TARGETS.get("pid", 1)
    for name in ["exe", "root", "cwd"]:
        attempt(f"/proc/PID/{name}", lambda: os.readlink(f"/proc/{pid}/{name}"))

    def overwrite():
        try:
            write_open(f"/proc/{pid}/exe")
        except OSError as error:
            # it runs: who waits for its end writes then
            if error.errno != errno.ETXTBSY:
                raise
    attempt("/proc/PID/exe to write", overwrite)
    attempt("/proc/PID/fd", lambda: os.listdir(f"/proc/{pid}/fd"))
    attempt("/proc/PID/mem", lambda: os.close(os.open(f"/proc/{pid}/mem", os.O_RDONLY)))
    attempt("pidfd_getfd", lambda: any_descriptor(os.pidfd_open(pid)))

    def write_memory():
        byte = ctypes.create_string_buffer(1)
        pieces = [struct.pack("QQ", address, 1) for address in (ctypes.addressof(byte), 0)]
        try:
            syscall(311, pid, pieces[0], 1, pieces[1], 1, 0)
        except OSError as error:
            # nothing is at address 0: it would have been written
            if error.errno != errno.EFAULT:
                raise
    attempt("process_vm_writev", write_memory)
    # PTRACE_SEIZE
    attempt("ptrace", lambda: syscall(101, 0x4206, pid, 0, 0))


def own_executable():
    attempt("its own file", lambda: write_open(os.path.realpath(sys.argv[0])))


def descriptors():
    for name in sorted(os.listdir("/proc/self/fd")):
        try:
            link = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if os.path.isdir(f"/proc/self/fd/{name}") or int(name) > 2:
            print("GOT a descriptor", (name, link), flush=True)
    # CVE-2024-21626
    attempt("the caller's directory as its own", lambda: os.chdir("/proc/self/fd/9"))


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
            # again and again: some of them come after the commit
            for number in range(300):
                try:
                    os.close(os.open(f"late{number}", os.O_CREAT | os.O_WRONLY, dir_fd=tree))
                except OSError:
                    pass
                time.sleep(0.1)
        os._exit(0)


def stop_itself():
    print("GOT as far as that", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(600)


def signals():
    for pid in TARGETS["pids"]:
        attempt("a process of the host", lambda: os.kill(pid, 0))


def kill_all():
    if len([name for name in os.listdir("/proc") if name.isdigit()]) > 50:
        sys.exit("too many processes: this is no box, nor the namespace of the test")
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
    sys.exit(1)


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
    # several may lie in one
    places = {os.stat(place).st_dev: place for place in ["/", "/dev", "/dev/shm", "/run", "/tmp"]}
    total = 0
    for place in places.values():
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
    """The host's disk. One in the tree stays there; in the tree it is not opened, since what is there has no devices."""
    for place in ["/dev", TREE, "/tmp"]:
        path = os.path.join(place, "disk")
        attempt(f"a device in {place}", lambda: os.mknod(path, 0o60600, os.makedev(*TARGETS["disk"])))
    attempt("it is opened", lambda: os.close(os.open("/dev/disk", os.O_RDONLY)))


def loop_devices():
    """One on a file of the tree; the kernel lets go of it when the last one who has it open is gone."""
    with open(TREE + "/backing", "wb") as file:
        file.truncate(1 << 20)

    def attach():
        os.mknod("/dev/loop-control", 0o20600, os.makedev(10, 237))
        control = os.open("/dev/loop-control", os.O_RDWR)
        # LOOP_CTL_GET_FREE
        number = call("ioctl", control, 0x4c82)
        os.mknod("/dev/loop-own", 0o60600, os.makedev(7, number))
        device = os.open("/dev/loop-own", os.O_RDWR)
        backing = os.open(TREE + "/backing", os.O_RDWR)
        # LOOP_CONFIGURE: struct loop_config with LO_FLAGS_AUTOCLEAR
        info = bytearray(304)
        struct.pack_into("II", info, 0, backing, 512)
        struct.pack_into("I", info, 8 + 52, 4)
        call("ioctl", device, 0x4c0a, bytes(info))
    attempt("a loop device", attach)


def keyrings():
    past_the_filter("add_key", lambda: syscall(248, b"user", b"osbuild-hostile", None, 0, 0))
    past_the_filter("request_key", lambda: syscall(249, None, None, None, 0))
    for keyring in (-1, -3, -4):
        past_the_filter(f"keyring {keyring}", lambda: syscall(250, 0, keyring, 0))
    # KEYCTL_READ, KEYCTL_GET_PERSISTENT
    past_the_filter("the session's keys", lambda: syscall(250, 11, -3, 0, 0))
    past_the_filter("the persistent keyring", lambda: syscall(250, 22, -1, -1))


# numbers of x86-64, with arguments that the kernel refuses
CALLS = {
    "init_module": (175, 0, 0, 0), "finit_module": (313, -1, 0, 0), "delete_module": (176, 0, 0),
    "kexec_load": (246, 0, 0, 0, 0xffff), "kexec_file_load": (320, -1, -1, 0, 0, 0xffff), "reboot": (169, 0, 0, 0, 0),
    "syslog": (103, -1, 0, 0), "acct": (163, 1), "iopl": (172, 99), "settimeofday": (164, 1, 0),
    "clock_settime": (227, 99, 0), "adjtimex": (159, 0), "swapon": (167, 1, 0), "swapoff": (168, 1),
    "quotactl": (179, 0, 1, 0, 0), "bpf": (321, 9999, 0, 0), "perf_event_open": (298, 0, 0, -1, -1, 0),
    "userfaultfd": (323, -1), "io_uring_setup": (425, 0, 0), "fanotify_init": (300, -1, 0), "kcmp": (312, -1, -1, 0, 0, 0),
}


# those that take no capability
FOR_ALL = {"userfaultfd", "io_uring_setup", "kcmp"}


def calls():
    for name, arguments in CALLS.items():
        if (name in FOR_ALL) == TARGETS["for_all"]:
            past_the_filter(name, lambda: in_child(lambda: syscall(*arguments)))


def user_namespaces():
    attempt("unshare", lambda: in_child(lambda: call("unshare", CLONE_NEWUSER)))

    def clone():
        pid = syscall(56, CLONE_NEWUSER | signal.SIGCHLD, 0, 0, 0, 0)
        if pid == 0:
            os._exit(0)
    attempt("clone", clone)
    past_the_filter("clone3", lambda: in_child(lambda: syscall(435, 0, 0)))

    def mount_inside():
        call("unshare", CLONE_NEWUSER | 0x00020000)
        call("mount", "none", "/tmp", "tmpfs", ctypes.c_ulong(0), None)
    attempt("a mount in one", lambda: in_child(mount_inside))


def sockets():
    """Of the host, or for it: all by the network namespace."""
    def connect(family, address):
        with socket.socket(family, socket.SOCK_STREAM) as there:
            there.settimeout(5)
            there.connect(address)
    attempt("a listener on the host's loopback", lambda: connect(socket.AF_INET, ("127.0.0.1", TARGETS["port"])))

    def pass_descriptor():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as there:
            there.connect("\0" + TARGETS["abstract"])
            socket.send_fds(there, [b"x"], [os.open(TREE, os.O_RDONLY)])
    attempt("a descriptor passed through an abstract socket", pass_descriptor)

    def other_interfaces():
        others = [name for _, name in socket.if_nameindex() if name != "lo"]
        if not others:
            raise OSError(errno.EPERM, "there is only our own")
    attempt("the host's interfaces by netlink", other_interfaces)


def events():
    """What the kernel tells about the host's devices."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 15) as there:
        there.bind((0, 1))
        there.settimeout(TARGETS["seconds"])
        print("ready", flush=True)
        try:
            while TARGETS["device"].encode() not in there.recv(65536):
                pass
        except TimeoutError:
            raise OSError(errno.EPERM, "nothing was told") from None


def uevents():
    attempt("events of the host's devices", events)


def filtered_sockets():
    past_the_filter("vsock", lambda: socket.socket(40, socket.SOCK_STREAM).close())


def packet_sockets():
    attempt("packets", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close())


def audit():
    def ask():
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9) as there:
            # AUDIT_GET, with NLM_F_REQUEST and NLM_F_ACK
            there.sendto(struct.pack("IHHII", 16, 1000, 5, 1, 0), (0, 0))
            there.settimeout(5)
            answer = there.recv(8192)
            number = struct.unpack_from("i", answer, 16)[0] if struct.unpack_from("H", answer, 4)[0] == 2 else 0
            if number:
                raise OSError(-number, "refused")
    attempt("the kernel's audit", ask)


def rendezvous():
    """The second of two stages takes what the first one, gone by then, wants to hand on."""
    name = "\0" + TARGETS["name"]
    if TARGETS["first"]:
        tree = os.open(TREE, os.O_RDONLY)
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.bind(name)
        server.listen()
        if os.fork() == 0:
            os.setsid()
            os.dup2(os.open("/dev/null", os.O_RDWR), 1)
            os.dup2(1, 2)
            server.settimeout(30)
            there, _ = server.accept()
            socket.send_fds(there, [b"x"], [tree])
            os._exit(0)
        return

    def take():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as there:
            there.settimeout(10)
            there.connect(name)
            socket.recv_fds(there, 1, 1)
    attempt("a descriptor of another stage", take)


def shared_memory():
    attempt("a segment of the host's", lambda: call("shmget", TARGETS["key"], 0, 0))
    attempt("a message queue of the host's", lambda: call("mq_open", TARGETS["queue"], os.O_RDONLY))


def make_shared_memory():
    """For the test: a segment that attempts look for, until our stdin ends."""
    number = call("shmget", TARGETS["key"], 4096, 0o1666)
    os.umask(0)
    call("mq_open", TARGETS["queue"], os.O_CREAT | os.O_RDWR, 0o666, None)
    print("made", flush=True)
    sys.stdin.read()
    call("shmctl", number, 0, None)
    call("mq_unlink", TARGETS["queue"])


# --- the tree

def links():
    """Hard links to what is outside of the tree."""
    for index, path in enumerate(TARGETS.get("paths", ["/usr/bin/env", "/etc/ld.so.cache", "/run/osbuild/bin/" + NAME])):
        attempt(path, lambda: os.link(path, os.path.join(TARGETS.get("tree", TREE), f"link{index}")))


def outside():
    """A file of the host's, by its path, a bind mount, a link in the tree, what a link to its directory is made into."""
    file, directory = TARGETS["outside"] + "/file", TARGETS["outside"]
    attempt("its path", lambda: write_open(file))

    def bind():
        place = scratch("bind")
        call("mount", directory, place, None, ctypes.c_ulong(MS_BIND), None)
        write_open(place + "/file")
    attempt("a bind mount", bind)

    def link():
        os.symlink(directory, TREE + "/etc")
        write_open(TREE + "/etc/file")
    attempt("a link in the tree", link)


def naive():
    """A later stage that joins paths: what an earlier one made links of it follows."""
    for name in TARGETS["names"]:
        def written():
            os.close(os.open(f"{TREE}/{name}/written", os.O_CREAT | os.O_WRONLY))
        attempt(f"a file in {name}", written)

    def mounts():
        call("mount", "/dev", TREE + "/dev", None, ctypes.c_ulong(MS_BIND | MS_REC), None)
        if not os.path.exists(TARGETS["outside"] + "/null"):
            raise OSError(errno.EPERM, "it is not there that it was mounted")
    attempt("/dev mounted on what it leads to", mounts)


def write_read_only():
    """What is lent: by opening, by mappings, by a remount, by the directories of an overlay."""
    for path in TARGETS["paths"]:
        attempt(f"open {path}", lambda: write_open(path))

        def mapped():
            with open(path, "rb") as file:
                fd = os.open(f"/proc/self/fd/{file.fileno()}", os.O_RDWR)
                mmap.mmap(fd, 1, mmap.MAP_SHARED, mmap.PROT_WRITE)
        attempt(f"map {path}", mapped)

        attempt(f"truncate {path}", lambda: os.truncate(path, os.stat(path).st_size))


def map_files():
    """By the links that the kernel has to what is mapped."""
    def written():
        with open(TARGETS["path"], "rb") as file:
            there = mmap.mmap(file.fileno(), 1, mmap.MAP_SHARED, mmap.PROT_READ)
            place = "/proc/self/map_files/"
            for name in os.listdir(place):
                if os.readlink(place + name) == TARGETS["path"]:
                    write_open(place + name)
            there.close()
    attempt("map_files", written)


def remount_read_only():
    for place in TARGETS["places"]:
        attempt(f"remount {place}", lambda: call("mount", None, place, None, ctypes.c_ulong(MS_REMOUNT | MS_BIND), None))


def work_directory():
    """The directories that an overlay works in are reached by no path."""
    with open("/proc/self/mountinfo", encoding="utf8") as file:
        overlays = [line for line in file if " - overlay " in line]
    for line in overlays:
        for option in line.split(" - ")[1].split(" ")[2].split(","):
            key, _, path = option.partition("=")
            if key in ("upperdir", "workdir", "lowerdir"):
                # they are told as they were named where the overlay was put together
                attempt(key, lambda: os.listdir(os.path.join("/.layers/1", path.strip().split(":")[0])))


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
    # what the file system of the store has no room for it refuses: 64 KiB are the most that the kernel knows
    try:
        os.setxattr(tree + "/sparse", "user.bigger", b"x" * 65536)
    except OSError as error:
        print("no attribute of 64 KiB:", errno.errorcode.get(error.errno), flush=True)
    # version 2 of an ACL: the owner, a user 7, the group, the mask, others
    entries = [(1, 6, -1), (2, 4, 7), (4, 4, -1), (16, 4, -1), (32, 4, -1)]
    acl = struct.pack("I", 2) + b"".join(struct.pack("HHi", *entry) for entry in entries)
    os.setxattr(tree + "/sparse", "system.posix_acl_access", acl)
    print("GOT a strange tree", flush=True)


def fifo():
    os.mkfifo(TREE + "/fifo")


def overlay_attributes():
    os.makedirs(TREE + "/dir", exist_ok=True)
    for name in ["trusted.overlay.redirect", "trusted.overlay.opaque"]:
        attempt(name, lambda: os.setxattr(TREE + "/dir", name, b"/outside"))


def security_attributes():
    """What a host would heed. Labels are set by the executor, for modules of ours."""
    os.makedirs(TREE + "/dir", exist_ok=True)
    attempt("security.ima", lambda: os.setxattr(TREE + "/dir", "security.ima", b"\x01" * 20))


def security_label():
    os.makedirs(TREE + "/dir", exist_ok=True)
    label = TARGETS["label"].encode()
    attempt("security.selinux", lambda: os.setxattr(TREE + "/dir", "security.selinux", label))


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


# NET_ADMIN, SYS_MODULE, SYS_RAWIO, SYS_PTRACE, SYS_BOOT, SYS_TIME, MAC_ADMIN, SYSLOG, BPF
DROPPED = (12, 16, 17, 19, 22, 25, 33, 34, 39)


def capabilities():
    """Those that act on more than the box."""
    with open("/proc/self/status", encoding="utf8") as file:
        fields = dict(line.split(":\t", 1) for line in file if ":\t" in line)
    for name in ("CapEff", "CapPrm", "CapBnd"):
        has = [number for number in DROPPED if int(fields[name], 16) >> number & 1]
        print(f"GOT in {name} {has}" if has else f"NOT in {name}: EPERM", flush=True)


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
