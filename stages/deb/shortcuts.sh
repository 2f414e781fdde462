# Put before the functions of initramfs-tools while an initramfs is made. What they ask of programs, for each file that they
# copy, the shell answers itself where the answer is plain: for absolute paths in their simplest form, without a link on the
# way. Everything else goes to the programs.
osbuild_is_plain() {
	osbuild_path=$1
	while :; do
		case $osbuild_path in
		//*) osbuild_path=${osbuild_path#/} ;;
		*) break ;;
		esac
	done
	case $osbuild_path in
	*//* | */. | */.. | */./* | */../* | */) return 1 ;;
	/*) return 0 ;;
	*) return 1 ;;
	esac
}
realpath() {
	case $#$1 in
	2-ms | 2-s)
		if osbuild_is_plain "$2" && { [ "$1" = -ms ] || [ -e "$osbuild_path" ]; }; then
			printf '%s\n' "$osbuild_path"
			return 0
		fi
		;;
	esac
	command realpath "$@"
}
readlink() {
	if [ "$#$1" = 2-f ] && osbuild_is_plain "$2" && [ -e "$osbuild_path" ]; then
		case $osbuild_path in
		/bin | /bin/*)
			if [ -L /bin ] && [ /bin -ef /usr/bin ]; then
				osbuild_path=/usr$osbuild_path
			fi
			;;
		esac
		osbuild_above=$osbuild_path
		while [ -n "$osbuild_above" ] && [ ! -L "$osbuild_above" ]; do
			osbuild_above=${osbuild_above%/*}
		done
		if [ -z "$osbuild_above" ]; then
			printf '%s\n' "$osbuild_path"
			return 0
		fi
	fi
	command readlink "$@"
}
mkdir() {
	if [ "$#$1" = 2-p ] && [ -d "$2" ]; then
		return 0
	fi
	command mkdir "$@"
}
