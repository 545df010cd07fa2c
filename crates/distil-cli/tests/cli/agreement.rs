//! The checker and the loader read the same configurations by code of their own: what the one takes the other has to load.

use std::fs;
use std::path::Path;

use distil_checker::{FolderRepository, Requirements, check};
use distil_model::{CausalLm, LoadOptions};
use distil_types::SubnetProfile;
use serde_json::{Value, json};

use crate::common::Place;

fn passes(folder: &Path) -> bool {
    let mut profile = SubnetProfile::sn97();
    profile.vocab_size = 2048;
    check(&FolderRepository::open(folder).unwrap(), &Requirements::from_profile(&profile)).pass()
}

#[test]
fn a_model_passes_the_check_only_if_the_loader_takes_it() {
    let place = Place::new();
    let (mut taken, mut refused) = (0, 0);
    for model in ["teacher", "student-a"] {
        let folder = place.copy_model(model, model);
        let path = folder.join("config.json");
        let whole: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let fields: Vec<String> = whole.as_object().unwrap().keys().cloned().collect();
        for field in fields.iter().filter(|field| *field != "vocab_size") {
            for value in [
                None,
                Some(json!(null)),
                Some(json!(0)),
                Some(json!(-1)),
                Some(json!(3)),
                Some(json!("x")),
                Some(json!(1e30)),
                Some(json!([])),
            ] {
                let mut config = whole.clone();
                let map = config.as_object_mut().unwrap();
                match &value {
                    None => drop(map.remove(field)),
                    Some(value) => drop(map.insert(field.clone(), value.clone())),
                }
                fs::write(&path, config.to_string()).unwrap();
                let loads = CausalLm::load(&folder, &LoadOptions::cpu_f32()).is_ok();
                assert!(
                    !passes(&folder) || loads,
                    "{model}: {field} = {value:?} passes the check and cannot be loaded"
                );
                if loads { taken += 1 } else { refused += 1 }
            }
        }
    }
    assert!(taken > 20 && refused > 20, "{taken} were loaded, {refused} refused");
}
