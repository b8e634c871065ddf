//! Bad files, each with its own error.

use super::*;
use protocol::{
    ids::{ContestIndex, ShardIndex, TimeMs},
    manifest::{Chain, Contest, Method, Quorums, Revote, RollCommitment, Style},
};

fn manifest() -> Manifest {
    let contest = |id: &str| Contest {
        id: id.into(),
        title: id.into(),
        method: Method::Approval,
        options: vec!["Ada".into(), "Emmy".into()],
        min: 1,
        max: 2,
        blank: true,
        seats: 1,
        ties_by_lot: false,
    };
    Manifest {
        title: "t".into(),
        languages: vec!["en".into()],
        contests: vec![contest("chair"), contest("council")],
        styles: vec![
            Style { id: "both".into(), contests: vec![ContestIndex(0), ContestIndex(1)] },
            Style { id: "one".into(), contests: vec![ContestIndex(1)] },
        ],
        roll: RollCommitment { voters: 1, weight_total: 1, digest: [0; 32] },
        revote: Revote::Last,
        opens_not_before: TimeMs(0),
        closes_not_before: TimeMs(0),
        trustees: vec![],
        quorums: Quorums::default_for(4),
        shards: vec![],
        home: ShardIndex(1),
        officials: vec![],
        lanes: 1,
        chain: Chain { cluster: "local".into(), genesis: [0; 32] },
        tally_min: 1,
    }
}

fn refused(text: &str) -> FileRefusal {
    read_choices(&manifest(), text.as_bytes()).unwrap_err()
}

#[test]
fn marks_are_read_in_the_order_of_the_style() {
    let text = "voter,style,council,chair\nada,both,Ada|Emmy,Emmy\nemmy,one,Ada,\nsofia,both,,\n";
    let rows = read_choices(&manifest(), text.as_bytes()).unwrap();
    assert_eq!(rows[0].marks, [vec![OptionIndex(1)], vec![OptionIndex(0), OptionIndex(1)]]);
    assert_eq!(rows[1].marks, [vec![OptionIndex(0)]]);
    assert_eq!(rows[2].marks, [vec![], vec![]], "blank");
}

#[test]
fn every_fault_of_a_choices_file_names_its_line() {
    assert!(matches!(refused("voter,chair\n"), FileRefusal::Column { .. }));
    assert!(matches!(refused("voter,style,mayor\n"), FileRefusal::Contest { .. }));
    assert!(matches!(refused("voter,style,chair\na,none,Ada\n"), FileRefusal::Style { line: 2, .. }));
    assert!(matches!(refused("voter,style,chair\na,both,Ada\nb,both,Zoe\n"), FileRefusal::Option { line: 3, .. }));
    assert!(matches!(refused("voter,style,chair\na,one,Ada\n"), FileRefusal::NotTheirs { line: 2, .. }));
    assert!(matches!(refused("voter,style,chair\na,both\n"), FileRefusal::Csv(_)));
    let twice = refused("voter,style,chair\na,both,Ada\na,both,Emmy\n");
    assert!(matches!(twice, FileRefusal::Twice { line: 3, .. }));
}

#[test]
fn every_fault_of_a_keys_file_names_its_line_and_not_the_key() {
    let key = "11".repeat(32);
    let read = |text: String| read_keys(text.as_bytes());
    assert_eq!(read(format!("voter,secret\na,{key}\n")).unwrap().len(), 1);
    let short = read("voter,secret\na,1234\n".into()).unwrap_err();
    assert!(matches!(short, FileRefusal::Key { line: 2 }) && !short.to_string().contains("1234"));
    let twice = read(format!("voter,secret\na,{key}\na,{key}\n")).unwrap_err();
    assert!(matches!(twice, FileRefusal::Twice { line: 3, .. }));
    assert!(matches!(read(format!("voter,key\na,{key}\n")), Err(FileRefusal::Column { .. })));
}
