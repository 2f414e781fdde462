//! Work shared among threads, its results taken in order.

use std::sync::mpsc::sync_channel;

use crate::Result;

/// Results a thread may be ahead of the taker.
const AHEAD: usize = 4;

/// Calls `work` for each of `0..count` on `threads` threads and `take` with the results in the order of the numbers.
///
/// Each thread has a state of its own, made by `state`. Thread `t` does the numbers that leave the remainder `t`, so
/// that neither the results nor their order depend on timing, and waits when it is a few results ahead.
pub fn in_order<S, T: Send>(
    count: usize,
    threads: usize,
    state: impl Fn() -> Result<S> + Sync,
    work: impl Fn(&mut S, usize) -> Result<T> + Sync,
    mut take: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    let threads = threads.clamp(1, count.max(1));
    std::thread::scope(|scope| {
        let mut results = Vec::with_capacity(threads);
        for thread in 0..threads {
            let (sender, receiver) = sync_channel(AHEAD);
            let (state, work) = (&state, &work);
            scope.spawn(move || {
                let mut own = match state() {
                    Ok(own) => own,
                    Err(e) => return drop(sender.send(Err(e))),
                };
                for number in (thread..count).step_by(threads) {
                    let result = work(&mut own, number);
                    let failed = result.is_err();
                    // nobody listens any more after an error elsewhere
                    if sender.send(result).is_err() || failed {
                        return;
                    }
                }
            });
            results.push(receiver);
        }
        for number in 0..count {
            match results[number % threads].recv() {
                Ok(result) => take(result?)?,
                // only a panic ends a thread without a word; the scope passes it on
                Err(_) => break,
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn results_come_in_order_for_any_number_of_threads() {
        for threads in [1, 2, 3, 16] {
            let mut all = Vec::new();
            in_order(
                100,
                threads,
                || Ok(()),
                |(), n| Ok(n * n),
                |n| {
                    all.push(n);
                    Ok(())
                },
            )
            .unwrap();
            assert_eq!(all, (0..100).map(|n| n * n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_error_ends_it_on_either_side() {
        let bad = |n| {
            if n == 50 {
                Err(Error::unsuitable("no"))
            } else {
                Ok(n)
            }
        };
        assert!(in_order(100, 4, || Ok(()), |(), n| bad(n), |_| Ok(())).is_err());
        assert!(in_order(1000, 4, || Ok(()), |(), n| Ok(n), |n| bad(n).map(drop)).is_err());
    }
}
