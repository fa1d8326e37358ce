//! System calls, by seccomp: a list of those that the running daemon is known to need, and some of them only in the way it needs them.
//!
//! No program is started, no process made, no other namespace entered, no privilege changed, nothing mounted, traced or loaded; memory is
//! never writable and executable. Whatever is not on the list fails with ENOSYS, as on a kernel that does not have it: libraries then do
//! without, and a call that was forgotten here costs what needed it, with a line in the log, and not the daemon.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use libc::{c_long, c_uint};

/// Filters this process, all its threads. Says whether it is.
pub(super) fn filter() -> String {
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else {
        return format!("not filtered: there is no filter for {}", std::env::consts::ARCH);
    };
    match program(arch).and_then(|program| seccompiler::apply_filter_all_threads(&program)) {
        Ok(()) => "filtered".to_owned(),
        Err(error) => format!("not filtered: {error}"),
    }
}

fn program(arch: TargetArch) -> Result<BpfProgram, seccompiler::Error> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for call in ALWAYS.iter().chain(OLD) {
        rules.insert(number(*call), Vec::new());
    }
    for (call, allowed) in conditional()? {
        rules.insert(number(call), allowed);
    }
    let refuse = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    Ok(SeccompFilter::new(rules, refuse, SeccompAction::Allow, arch)?.try_into()?)
}

#[allow(clippy::useless_conversion, reason = "long is shorter on some")]
fn number(call: c_long) -> i64 {
    call.into()
}

/// Calls that are allowed in any way.
const ALWAYS: &[c_long] = &[
    // Descriptors.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_close,
    libc::SYS_lseek,
    libc::SYS_fcntl,
    libc::SYS_flock,
    libc::SYS_ioctl,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_pipe2,
    libc::SYS_eventfd2,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    // Files: which ones is for Landlock and their modes.
    libc::SYS_openat,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_readlinkat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_fadvise64,
    libc::SYS_unlinkat,
    libc::SYS_mkdirat,
    libc::SYS_renameat2,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_ftruncate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_umask,
    // Sockets that are open.
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_connect,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
    libc::SYS_shutdown,
    // Memory.
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_membarrier,
    // Threads and signals.
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getcpu,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    // Children that were started before.
    libc::SYS_wait4,
    libc::SYS_waitid,
    // Time and chance.
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime,
    libc::SYS_getrandom,
    // Who we are and where.
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getgroups,
    libc::SYS_getresuid,
    libc::SYS_getresgid,
    libc::SYS_capget,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getrusage,
    libc::SYS_times,
];

/// Names that other processors do not have: libraries use the calls above there.
#[cfg(target_arch = "x86_64")]
const OLD: &[c_long] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_unlink,
    libc::SYS_mkdir,
    libc::SYS_rename,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_getdents,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_epoll_wait,
    libc::SYS_epoll_create,
    libc::SYS_dup2,
    libc::SYS_pipe,
    libc::SYS_eventfd,
    libc::SYS_getrlimit,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const OLD: &[c_long] = &[];

/// Calls of which only some uses are allowed: any of the rules has to hold.
fn conditional() -> Result<Vec<(c_long, Vec<SeccompRule>)>, seccompiler::Error> {
    let families = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
    let sockets = families.map(|family| when(&[(0, SeccompCmpOp::Eq, family.unsigned_abs())]));
    let (write, execute) = (libc::PROT_WRITE.unsigned_abs(), libc::PROT_EXEC.unsigned_abs());
    let not_executable = |argument| when(&[(argument, SeccompCmpOp::MaskedEq(execute.into()), 0)]);
    let not_writable = when(&[(2, SeccompCmpOp::MaskedEq(write.into()), 0)]);
    let thread = libc::CLONE_THREAD.unsigned_abs();
    let names = [libc::PR_SET_NAME, libc::PR_GET_NAME];
    let names = names.map(|option| when(&[(0, SeccompCmpOp::Eq, option.unsigned_abs())]));
    let pid = std::process::id();
    Ok(vec![
        (libc::SYS_socket, sockets.into_iter().collect::<Result<_, _>>()?),
        (libc::SYS_socketpair, vec![when(&[(0, SeccompCmpOp::Eq, libc::AF_UNIX.unsigned_abs())])?]),
        // Modules of the name service are loaded when the first name is looked up: executable, and then not writable.
        (libc::SYS_mmap, vec![not_executable(2)?, not_writable?]),
        (libc::SYS_mprotect, vec![not_executable(2)?]),
        // Threads. (The C library takes ENOSYS from clone3, whose flags a filter cannot see, and uses this.)
        (libc::SYS_clone, vec![when(&[(0, SeccompCmpOp::MaskedEq(thread.into()), thread)])?]),
        (libc::SYS_prctl, names.into_iter().collect::<Result<_, _>>()?),
        // To abort.
        (libc::SYS_tgkill, vec![when(&[(0, SeccompCmpOp::Eq, pid)])?]),
        // Our own limits.
        (libc::SYS_prlimit64, vec![when(&[(0, SeccompCmpOp::Eq, 0)])?, when(&[(0, SeccompCmpOp::Eq, pid)])?]),
    ])
}

/// All of these: the lower half of the argument of this number compares so with the value.
fn when(conditions: &[(u8, SeccompCmpOp, c_uint)]) -> Result<SeccompRule, seccompiler::Error> {
    let conditions = conditions.iter().map(|(argument, operator, value)| {
        SeccompCondition::new(*argument, SeccompCmpArgLen::Dword, operator.clone(), u64::from(*value))
    });
    Ok(SeccompRule::new(conditions.collect::<Result<_, _>>()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_compiles_for_every_processor_that_there_is_one_for() {
        for arch in [TargetArch::x86_64, TargetArch::aarch64, TargetArch::riscv64] {
            // A program of the kernel's has at most 4,096 instructions.
            assert!(program(arch).unwrap().len() < 4_096);
        }
    }

    #[test]
    fn no_call_is_listed_twice_with_different_meanings() {
        let conditional: Vec<c_long> = conditional().unwrap().into_iter().map(|(call, _)| call).collect();
        assert!(ALWAYS.iter().chain(OLD).all(|call| !conditional.contains(call)));
    }
}
