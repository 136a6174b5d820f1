#!/bin/sh
# The first process of a container: makes its file system and namespaces, then becomes its command. Nothing of it is left
# above or beside the command. The caller gives
#   arguments    STEP… -- COMMAND ARGUMENT…   (a STEP is three words: a verb below, and its two operands)
#   environment  SCRATCH, POD_HOSTNAME, WORKING_DIRECTORY, READ_ONLY (1 or 0), CREDENTIALS (words for setpriv),
#                SEARCH_PATH, VARIABLES (how many), VARIABLE_1… (each NAME=VALUE)
#   descriptors  3, a pipe to report to: "pid N", "ready" when the command is about to run, or else what went wrong;
#                4, the command's standard error; this script's own goes to the report
set -eu
umask 022
# The caller's /proc is still mounted, so this is the process id that the caller can signal.
read -r pid _ </proc/self/stat
echo "pid $pid" >&3

mount -t tmpfs -o mode=755 layers "$SCRATCH"
root=$SCRATCH/root
mkdir -p "$SCRATCH/layers" "$root"
mount -t tmpfs -o mode=755 root "$root"

# An overlay for each directory of the host's root, not one for all: in a user namespace the kernel refuses an overlay
# over a directory with mounts below, and such a directory is then bound read-only.
layer() {
    mkdir "$root$1" "$SCRATCH/layers$1" "$SCRATCH/layers$1/upper" "$SCRATCH/layers$1/work"
    options="lowerdir=$1,upperdir=$SCRATCH/layers$1/upper,workdir=$SCRATCH/layers$1/work"
    mount -t overlay -o "$options" overlay "$root$1" 2>/dev/null || mount -o rbind,ro "$1" "$root$1"
}
for path in /*; do
    case $path in
        *[:,\\]*) ;;
        /proc | /sys | /dev | /run | /home | /root | /mnt | /media | /boot | /lost+found) ;;
        *) if [ -L "$path" ]; then cp -P "$path" "$root"; elif [ -d "$path" ] && [ "$path" != /tmp ]; then layer "$path"; fi ;;
    esac
done
for path in proc sys dev run home root mnt media; do mkdir "$root/$path"; done
mkdir -m 1777 "$root/tmp"
rm -f "$root/etc/resolv.conf"
cp -L /etc/resolv.conf "$root/etc/resolv.conf" || :

mkdir "$root/.host"
cd "$root"
pivot_root . .host
cd /

attach() {
    mount --bind "$1" "$2" 2>/dev/null || mount --rbind "$1" "$2"
}
attach /.host/sys /sys
mount -o remount,bind,ro /sys
mount -t proc proc /proc
mount -t tmpfs -o mode=755,nosuid dev /dev
for device in null zero full random urandom tty; do
    : >"/dev/$device"
    attach "/.host/dev/$device" "/dev/$device"
done
mkdir /dev/pts /dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts /dev/pts
mount -t tmpfs -o mode=1777,nosuid,nodev,size=64m shm /dev/shm
ln -s pts/ptmx /dev/ptmx
ln -s /proc/self/fd /dev/fd
ln -s /proc/self/fd/0 /dev/stdin
ln -s /proc/self/fd/1 /dev/stdout
ln -s /proc/self/fd/2 /dev/stderr
hostname "$POD_HOSTNAME"
echo "127.0.0.1 $POD_HOSTNAME" >>/etc/hosts || :

# Only now, inside the new root, are targets touched: an absolute link on the way must not lead out to the host.
place() {
    if [ -d "$1" ]; then mkdir -p "$2"; else mkdir -p "${2%/*}/"; [ -e "$2" ] || : >"$2"; fi
}
prepare() {
    case $1 in
        hide) mkdir -p "$2"; mount -t tmpfs -o "mode=$3" hidden "$2" ;;
        needed) place "/.host$2" "$3"; attach "/.host$2" "$3"; mount -o remount,bind,ro "$3" ;;
        traverse) chmod o+x "$2" ;;
        read-only | read-write) place "/.host$2" "$3" ;;
    esac
}
bind() {
    case $1 in
        # Placed again: it may lie in a volume that was not there before.
        read-only | read-write) place "/.host$2" "$3"; attach "/.host$2" "$3" ;;
    esac
}
# A volume may lie over what the image needs: a pod's own /tmp, where the image's programs are in the host's.
uncover() {
    case $1 in needed) [ -e "$3" ] || prepare "$@" ;; esac
}
seal() {
    [ "$1" != read-only ] || mount -o remount,bind,ro "$3"
}
steps() {
    verb=$1
    shift
    while [ "$1" != -- ]; do
        "$verb" "$1" "$2" "$3"
        shift 3
    done
}
steps prepare "$@"
mkdir -p "$WORKING_DIRECTORY"
if [ "$READ_ONLY" = 1 ]; then
    # Before volumes lie over any of these, which this would seal in their stead.
    while read -r _ _ _ _ target _ kind; do
        case $kind in *'- overlay '* | *'- tmpfs hidden '*) mount -o remount,bind,ro "$target" ;; esac
    done </proc/self/mountinfo
fi
steps bind "$@"
steps uncover "$@"
mkdir -p "$WORKING_DIRECTORY"
umount -l /.host
rmdir /.host
# Volumes may lie in one another, so none is sealed before all are there.
steps seal "$@"
[ "$READ_ONLY" = 0 ] || mount -o remount,bind,ro /
while [ "$1" != -- ]; do shift; done
shift

# Runs as the container's user, so that permissions are that user's.
launch='
fail() { echo "$*" >&3; exit 128; }
runnable() { [ -f "$1" ] && [ -x "$1" ]; }
search() {
    IFS=:
    for directory in $SEARCH_PATH; do
        if runnable "$directory/$1"; then unset IFS; return 0; fi
    done
    return 1
}
set -f
cd "$WORKING_DIRECTORY" || fail "chdir to cwd (\"$WORKING_DIRECTORY\") failed"
case $1 in
    */*)
        [ -e "$1" ] || fail "exec: \"$1\": stat $1: no such file or directory"
        runnable "$1" || fail "exec: \"$1\": permission denied" ;;
    *) search "$1" || fail "exec: \"$1\": executable file not found in \$PATH" ;;
esac
while [ "$VARIABLES" -gt 0 ]; do
    eval "set -- \"\$VARIABLE_$VARIABLES\" \"\$@\""
    VARIABLES=$((VARIABLES - 1))
done
echo ready >&3
exec env -i "$@" 2>&4 3>&- 4>&-
'
# A change of user clears the parent death signal, which unshare has set: setpriv sets it again after the change.
# shellcheck disable=SC2086
exec setpriv --pdeathsig KILL $CREDENTIALS -- /bin/sh -c "$launch" sh "$@"
