//! `pineconectl ping`: one request per ping, a summary at the end.

use pinecone::control::{Answer, Request, TargetText};
use pinecone::node::status::PingAnswer;
use serde_json::{Value, json};

use crate::args::{Arguments, PingOptions};
use crate::client::Client;
use crate::error::{CommandError, Kind};
use crate::names;
use crate::output;
use crate::units::milliseconds;

/// Pings and prints; an error if no ping at all was answered.
pub(crate) fn run(arguments: &Arguments, options: &PingOptions) -> Result<(), CommandError> {
    let to = names::find(&options.target)?;
    let request = Request::Ping { target: to, timeout: arguments.timeout };
    let mut client = Client::connect(&arguments.socket, arguments.timeout)?;
    let mut tally = Tally::default();
    for sequence in 1..=options.count {
        if sequence > 1 {
            std::thread::sleep(options.interval);
        }
        match client.ask(&request) {
            Ok(Answer::Ping(answer)) => {
                if !arguments.json {
                    output::text(&reply_line(sequence, &answer))?;
                }
                tally.answered(sequence, &answer);
            }
            Ok(_) => return Err(CommandError::new(Kind::Failure, "the daemon answered something else than a ping")),
            Err(error) if error.kind == Kind::Unreachable => {
                if !arguments.json {
                    output::text(&format!("{sequence}: {}\n", error.message()))?;
                }
                tally.unanswered(sequence, &error);
                // The late answer to this request would be taken for the one to the next.
                client = Client::connect(&arguments.socket, arguments.timeout)?;
            }
            Err(error) => return Err(error),
        }
    }
    let target = TargetText(to).to_string();
    if arguments.json {
        output::json(&tally.document(&target))?
    } else {
        output::text(&tally.text())?
    }
    if tally.times.is_empty() {
        return Err(CommandError::new(Kind::Unreachable, format!("{target} did not answer")));
    }
    Ok(())
}

/// One answer for people.
pub(crate) fn reply_line(sequence: u32, answer: &PingAnswer) -> String {
    let PingAnswer { address, rtt_seconds, routed_by, .. } = answer;
    format!("{sequence}: {address} answered in {}, by {routed_by}\n", milliseconds(*rtt_seconds))
}

#[derive(Default)]
struct Tally {
    times: Vec<f64>,
    results: Vec<Value>,
}

impl Tally {
    fn answered(&mut self, sequence: u32, answer: &PingAnswer) {
        self.times.push(answer.rtt_seconds);
        let mut result = serde_json::to_value(answer).unwrap_or_default();
        if let Value::Object(fields) = &mut result {
            fields.insert("sequence".to_owned(), sequence.into());
        }
        self.results.push(result);
    }

    fn unanswered(&mut self, sequence: u32, error: &CommandError) {
        self.results.push(json!({ "sequence": sequence, "error": error.message() }));
    }

    /// Least, mean and most.
    fn summary(&self) -> Option<[f64; 3]> {
        let least = self.times.iter().copied().reduce(f64::min)?;
        let most = self.times.iter().copied().reduce(f64::max)?;
        Some([least, self.times.iter().sum::<f64>() / self.times.len() as f64, most])
    }

    fn text(&self) -> String {
        let (sent, answered) = (self.results.len(), self.times.len());
        let times = self.summary().map(|times| times.map(milliseconds));
        let times =
            times.map_or_else(String::new, |[least, mean, most]| format!("; least {least}, mean {mean}, most {most}"));
        format!("{sent} sent, {answered} answered{times}\n")
    }

    fn document(&self, target: &str) -> Value {
        let times = self.summary();
        json!({
            "target": target,
            "sent": self.results.len(),
            "answered": self.times.len(),
            "min_seconds": times.map(|times| times[0]),
            "mean_seconds": times.map(|times| times[1]),
            "max_seconds": times.map(|times| times[2]),
            "results": self.results,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_what_was_lost_and_leaves_it_out_of_the_times() {
        let mut tally = Tally::default();
        let answer = |rtt_seconds| PingAnswer {
            key: pinecone::keys::PublicKey([1; 32]),
            address: "607::1".to_owned(),
            rtt_seconds,
            routed_by: "tree".to_owned(),
        };
        tally.answered(1, &answer(0.010));
        tally.unanswered(2, &CommandError::new(Kind::Unreachable, "nobody"));
        tally.answered(3, &answer(0.030));
        assert_eq!(tally.text(), "3 sent, 2 answered; least 10.0 ms, mean 20.0 ms, most 30.0 ms\n");
        let document = tally.document("607::1");
        assert_eq!((&document["sent"], &document["answered"]), (&json!(3), &json!(2)));
        assert_eq!(document["results"][1], json!({ "sequence": 2, "error": "nobody" }));
        assert_eq!(document["results"][2]["sequence"], json!(3));
    }

    #[test]
    fn without_an_answer_there_are_no_times() {
        let mut tally = Tally::default();
        tally.unanswered(1, &CommandError::new(Kind::Unreachable, "nobody"));
        assert_eq!(tally.text(), "1 sent, 0 answered\n");
        assert_eq!(tally.document("607::1")["min_seconds"], Value::Null);
    }
}
