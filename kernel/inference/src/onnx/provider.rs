//! Providers of the library: what computes a model.

use ort::ep::{CUDA, CoreML, DirectML, ExecutionProviderDispatch, OpenVINO, TensorRT};
use ort::session::builder::SessionBuilder;

use crate::provider::ProviderName;

/// Asks a session for a provider and for nothing else: where the library has it not, or cannot use
/// it, that is an error. `with_cpu` says whether the processor may compute what it cannot.
pub(super) fn register(
    builder: SessionBuilder,
    name: ProviderName,
    with_cpu: bool,
) -> Result<SessionBuilder, ort::Error> {
    let Some(provider) = dispatch(name) else { return Ok(builder) };
    let builder = builder.with_execution_providers([provider.error_on_failure()])?;
    match with_cpu {
        true => Ok(builder),
        false => Ok(builder.with_disable_cpu_fallback()?),
    }
}

/// What registers it; none for the processor, which every session has.
fn dispatch(name: ProviderName) -> Option<ExecutionProviderDispatch> {
    Some(match name {
        ProviderName::Cpu => return None,
        // Sums of fewer digits are not what a model asks for.
        ProviderName::Cuda => CUDA::default().with_tf32(false).build(),
        ProviderName::TensorRt => TensorRT::default().build(),
        ProviderName::OpenVino => OpenVINO::default().build(),
        ProviderName::Dml => DirectML::default().build(),
        ProviderName::CoreMl => CoreML::default().build(),
    })
}
