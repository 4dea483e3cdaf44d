//! `llmc doctor` and `--device cuda`, on machines with a GPU and without.

use exec::device::cuda::driver::Driver;

use crate::folder::{Folder, gpt};

#[test]
fn doctor_names_every_part_and_fails_for_none() {
    let folder = Folder::new("doctor");
    let ended = folder.llmc(&["doctor"]).exits(0);
    let titles = ["llmc 0.1.0", "cpu (--device cpu", "cuda (--device cuda)", "emulator (", "cache"];
    let mut rest = ended.out.as_str();
    for title in titles {
        let at = rest.find(title).unwrap_or_else(|| panic!("{title}: {}", ended.out));
        rest = &rest[at..];
    }
    let driver = match Driver::find() {
        Ok(driver) => driver.version.to_string(),
        Err(absent) => format!("none: {absent}"),
    };
    ended.prints(&format!("  driver     {driver}\n"));
    ended.prints("  runs       the code of sm_80, on the CPU\n");
}

#[test]
fn doctor_counts_the_plans_of_the_cache() {
    let folder = Folder::new("doctor-cache");
    folder.write("a.lt", gpt("steps 1"));
    folder.shell("LLMC_CACHE=$PWD/kept llmc doctor > before").exits(0);
    folder.shell("LLMC_CACHE=$PWD/kept llmc train a.lt").exits(0);
    folder.shell("LLMC_CACHE=$PWD/kept llmc doctor > after").exits(0);
    folder.shell("grep -q 'holds      0 plans, 0 B' before").exits(0);
    folder.shell("grep -q 'holds      1 plan, ' after").exits(0);
    folder.shell("LLMC_CACHE=off llmc doctor | grep -q 'folder     none'").exits(0);
}

#[test]
fn a_device_that_is_not_there_is_4_with_a_way_out() {
    let Err(absent) = Driver::find() else { return };
    let folder = Folder::new("no-device");
    folder.write("a.lt", gpt("steps 1"));
    for command in ["train", "bench"] {
        let ended = folder.llmc(&[command, "a.lt", "--device", "cuda"]).exits(4);
        ended.says(&absent.to_string());
        ended.says("`--device cpu`");
    }
    assert!(!folder.at("runs").exists());
}
