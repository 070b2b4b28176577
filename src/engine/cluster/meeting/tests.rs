use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

/// Returns what each of three processes comes to when they have agreed on everything and process `troubled` then does what
/// `trouble` does.
fn meet(troubled: usize, trouble: &(dyn Fn() -> Result<(), StateError> + Sync)) -> Vec<Option<String>> {
    const OF: usize = 3;
    let free: Vec<TcpListener> = (0..OF).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let hosts: Vec<String> = free.iter().map(|l| l.local_addr().unwrap().to_string()).collect();
    drop(free);
    let comes = |process: usize| {
        let options = ClusterOptions { hosts: hosts.clone(), process, patience: Duration::from_secs(60) };
        let member = Member { process, of: OF, workers: 1 };
        let meeting = Meeting::begin(&options, member, &Terms::default(), &|_| {}, &|| false).unwrap();
        let keep = || if process == troubled { trouble() } else { Ok(()) };
        let met = catch_unwind(AssertUnwindSafe(|| {
            meeting.ready(&Known::default(), None, &keep, &|_| {}, &|| false).map(drop)
        }));
        met.map_or(None, |met| Some(met.map_or_else(|error| error.to_string(), |()| "met".to_string())))
    };
    let comes = &comes;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..OF).map(|process| scope.spawn(move || comes(process))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn all_meet() {
    assert_eq!(meet(3, &|| Ok(())), vec![Some("met".to_string()); 3]);
}

#[test]
fn who_fails_after_the_word_to_go_is_known_to_all_at_once() {
    let begin = Instant::now();
    for troubled in 0..3 {
        let full = || Err(StateError::NotKept { place: "here".into(), asked: 1, since: 2, now: 3 });
        let reason = full().unwrap_err().to_string();
        for (process, said) in meet(troubled, &full).into_iter().enumerate() {
            let said = said.unwrap();
            assert!(said.contains(&reason) && !said.contains("did not come"), "{process}: {said}");
        }
    }
    assert!(begin.elapsed() < Duration::from_secs(30), "that is not at once");
}

#[test]
fn who_dies_after_the_word_to_go_is_known_to_all_at_once() {
    let begin = Instant::now();
    for troubled in 0..3 {
        // Its lines close as those of a killed process do.
        let said = meet(troubled, &|| std::panic::resume_unwind(Box::new("killed")));
        for (process, said) in said.into_iter().enumerate().filter(|(process, _)| *process != troubled) {
            let said = said.unwrap();
            let name = format!("process {troubled} (");
            assert!(said.contains(&name) && said.contains("is gone"), "{process}: {said}");
        }
    }
    assert!(begin.elapsed() < Duration::from_secs(30), "that is not at once");
}
